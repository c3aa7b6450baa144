// How pages and pictures look, as CSS. Light by day, dark where the reader's system is, light again
// in print.
#pragma once

#include <cstddef>
#include <string>

namespace cifar {

extern const char* const kColours;     // the variables
extern const char* const kPageStyle;   // what a page needs
extern const char* const kChartStyle;  // what a chart needs

// The class of the i-th line of a chart: a colour, and from the ninth on also dashes.
std::string line_class(size_t index);

}  // namespace cifar

// Pieces of a page as text: HTML with everything inside, nothing fetched, no script.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "report/statistics.h"

namespace cifar {

// For text and for values of attributes.
std::string escape(const std::string& text);

// "71.3 %"
std::string percent(double fraction);
// "71.3 ± 0.4 %" of fractions; of one number without a spread, of none "–".
std::string spread_text(const Spread& spread);
// "1 h 02 min", "3 min 05 s" or "4.2 s"
std::string duration(double seconds);

// "data:image/png;base64,..."
std::string data_uri(const std::string& png);

// Cells are HTML; all columns but the first are numbers. Scrolls sideways where the page is
// narrower.
std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows,
                       const std::string& css_class = {});

std::string section(const std::string& title, const std::string& body);
// Folded until it is clicked.
std::string folded(const std::string& title, const std::string& body);
std::string warnings_box(const std::vector<std::string>& warnings);

struct Tile {
  std::string label, value, note = {};
};
std::string tiles(const std::vector<Tile>& all);

// The whole document; `title` is text, `body` HTML.
std::string html_page(const std::string& title, const std::string& body);

}  // namespace cifar

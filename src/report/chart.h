// Pictures as SVG: lines over an axis, and rows of dots with their mean and spread. Colours come
// from CSS variables (report/style.h), so that a picture follows the page into dark mode and print.
// Values that are not finite are left out.
#pragma once

#include <string>
#include <vector>

#include "report/statistics.h"

namespace cifar {

struct Point {
  double x, y;
};

struct Line {
  std::string name;
  std::vector<Point> points;
  std::vector<Point> low = {}, high = {};  // the edges of a band around it; may be empty
};

struct LineChart {
  std::string title;  // also of the y axis
  std::string x_label;
  std::vector<Line> lines;  // coloured in this order
  bool percent = false;     // y is a fraction, shown as per cent
  bool from_zero = false;

  std::string svg() const;
};

struct DotRow {
  std::string name;
  std::vector<double> values;
};

struct DotChart {
  std::string title;
  std::vector<DotRow> rows;  // fractions, shown as per cent

  std::string svg() const;
};

// A picture with the style that it needs to stand alone in a file.
std::string svg_file(const std::string& svg);

}  // namespace cifar

#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/axis.h"
#include "report/html.h"
#include "report/style.h"

namespace cifar {
namespace {

// In the picture's own units, which are pixels on a screen 460 wide and less on a phone.
constexpr double kWidth = 460, kRight = 16, kTop = 34, kCharacter = 7, kLine = 17;
constexpr double kPlotHeight = 190, kBelow = 40;
constexpr size_t kMostMarkers = 40;

struct Range2 {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

std::string open_svg(double height, const std::string& title) {
  return fmt::format(
      "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {:.0f}\" "
      "role=\"img\" aria-label=\"{}\">\n<text class=\"title\" x=\"4\" y=\"18\">{}</text>\n",
      kWidth, height, escape(title), escape(title));
}

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escape(words));
}

std::string stroke(const std::string& css_class, double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css_class,
      x1, y1, x2, y2);
}

std::string circle(const std::string& css_class, double x, double y, double radius) {
  return fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>\n", css_class, x,
                     y, radius);
}

double width_of(const std::string& words) {
  return kCharacter * static_cast<double>(words.size());
}

// The end of a long name, which for paths is what tells them apart. Never half a UTF-8 character.
std::string shortened(const std::string& name) {
  constexpr size_t kMost = 24;
  if (name.size() <= kMost) return name;
  size_t first = name.size() - kMost + 3;
  while (first < name.size() && (name[first] & 0xc0) == 0x80) ++first;
  return "…" + name.substr(first);
}

// Names with a stroke of their colour, in as many rows as they need; moves `top` below them.
std::string legend(const std::vector<Line>& lines, double& top) {
  constexpr double kStroke = 22, kGap = 16;
  std::string svg;
  double x = 4;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string name = shortened(lines[i].name);
    const double width = kStroke + width_of(name) + kGap;
    if (x > 4 && x + width - kGap > kWidth) {
      x = 4;
      top += kLine;
    }
    svg += stroke("line " + line_class(i), x, top + 2, x + 16, top + 2);
    svg += text(x + kStroke, top + 6, "start", name);
    x += width;
  }
  top += kLine;
  return svg;
}

// Where the values lie in the picture.
struct Plot {
  Axis x, y;
  double left, top, right = kWidth - kRight, height = kPlotHeight;

  double x_of(double value) const { return left + (right - left) * x.place(value); }
  double y_of(double value) const { return top + height * (1 - y.place(value)); }
  bool shows(const Point& point) const { return std::isfinite(point.x) && std::isfinite(point.y); }

  std::string path(const std::vector<Point>& points, bool& drawing) const {
    std::string commands;
    for (const Point& point : points) {
      if (!shows(point)) continue;
      commands += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", x_of(point.x), y_of(point.y));
      drawing = true;
    }
    return commands;
  }
};

std::string grid(const Plot& plot, const LineChart& chart) {
  std::string svg;
  for (const double tick : plot.y.ticks) {
    const double y = plot.y_of(tick);
    svg += stroke("grid", plot.left, y, plot.right, y);
    svg += text(plot.left - 6, y + 4, "end", plot.y.label(tick) + (chart.percent ? " %" : ""));
  }
  const double bottom = plot.top + plot.height;
  for (const double tick : plot.x.ticks) {
    svg += text(plot.x_of(tick), bottom + 17, "middle", plot.x.label(tick));
  }
  return svg + text((plot.left + plot.right) / 2, bottom + 34, "middle", chart.x_label);
}

std::string draw(const Plot& plot, const Line& line, size_t index) {
  std::string svg;
  const std::string colour = line_class(index);
  if (line.low.size() > 1) {
    std::vector<Point> edge = line.high;
    edge.insert(edge.end(), line.low.rbegin(), line.low.rend());
    bool drawing = false;
    svg += fmt::format("<path class=\"band {}\" d=\"{}Z\"/>\n", colour, plot.path(edge, drawing));
  }
  bool drawing = false;
  const std::string path = plot.path(line.points, drawing);
  if (!drawing) return svg;
  svg += fmt::format("<path class=\"line {}\" d=\"{}\"><title>{}</title></path>\n", colour, path,
                     escape(line.name));
  if (line.points.size() > kMostMarkers) return svg;
  for (const Point& point : line.points) {
    if (!plot.shows(point)) continue;
    svg += circle("dot " + colour, plot.x_of(point.x), plot.y_of(point.y), 2.5);
  }
  return svg;
}

std::string draw(const Plot& plot, const DotRow& row, double y, const std::string& colour) {
  const Spread spread = spread_of(row.values);
  std::string svg = text(plot.left - 10, y + 4, "end", shortened(row.name)) +
                    text(kWidth - 4, y + 4, "end", spread_text(spread));
  if (row.values.empty()) return svg;
  const auto at = [&](double deviations) {
    return plot.x_of(100 * (spread.mean + deviations * spread.deviation));
  };
  svg += stroke("spread " + colour, at(-1), y, at(1), y);
  svg += stroke("line " + colour, at(0), y - 8, at(0), y + 8);
  for (const double value : row.values)
    svg += circle("dot " + colour, plot.x_of(100 * value), y, 4);
  return svg;
}

}  // namespace

std::string LineChart::svg() const {
  std::vector<Line> scaled = lines;
  Range2 xs, ys;
  for (Line& line : scaled) {
    for (auto* points : {&line.points, &line.low, &line.high}) {
      for (Point& point : *points) {
        if (percent) point.y *= 100;
        xs.add(point.x);
        ys.add(point.y);
      }
    }
  }
  double top = kTop;
  const std::string names = lines.size() > 1 ? legend(lines, top) : "";
  const double height = top + kPlotHeight + kBelow;
  std::string svg = open_svg(height, title) + names;
  if (xs.empty() || ys.empty()) {
    return svg + text(kWidth / 2, top + kPlotHeight / 2, "middle", "nothing to show yet") +
           "</svg>\n";
  }
  if (from_zero) ys.add(0);
  Plot plot{make_axis(xs.low, xs.high, 6, /*whole=*/true), make_axis(ys.low, ys.high, 4), 0, top};
  // Epochs begin and end where the values do; only the labels are round numbers.
  plot.x.low = std::min(xs.low, xs.high - 1);
  plot.x.high = xs.high;
  std::erase_if(plot.x.ticks,
                [&](double tick) { return tick < plot.x.low - 1e-9 || tick > plot.x.high + 1e-9; });
  for (const double tick : plot.y.ticks) {
    plot.left = std::max(plot.left, width_of(plot.y.label(tick) + (percent ? " %" : "")) + 10);
  }
  svg += grid(plot, *this);
  for (size_t i = 0; i < scaled.size(); ++i) svg += draw(plot, scaled[i], i);
  return svg + "</svg>\n";
}

std::string DotChart::svg() const {
  constexpr double kRow = 28;
  Range2 range;
  double left = 0, label = 0;
  for (const DotRow& row : rows) {
    const Spread spread = spread_of(row.values);
    for (const double value : row.values) range.add(100 * value);
    if (spread.count > 0) {
      range.add(100 * (spread.mean - spread.deviation));
      range.add(100 * (spread.mean + spread.deviation));
    }
    left = std::max(left, width_of(shortened(row.name)) + 14);
    label = std::max(label, width_of(spread_text(spread)) + 10);
  }
  if (range.empty()) range = {0, 100};
  const double top = kTop, bottom = top + kRow * static_cast<double>(rows.size());
  Plot plot{make_axis(range.low, range.high, 4), {}, left, top, kWidth - label - 8, bottom - top};
  std::string svg = open_svg(bottom + kBelow, title);
  for (const double tick : plot.x.ticks) {
    svg += stroke("grid", plot.x_of(tick), top, plot.x_of(tick), bottom);
    svg += text(plot.x_of(tick), bottom + 17, "middle", plot.x.label(tick) + " %");
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    svg += draw(plot, rows[i], top + kRow * (static_cast<double>(i) + 0.5), line_class(i));
  }
  return svg +
         text((plot.left + plot.right) / 2, bottom + 34, "middle",
              "dots: seeds; stroke: mean; bar: standard deviation") +
         "</svg>\n";
}

std::string svg_file(const std::string& svg) {
  const size_t end_of_tag = svg.find('>') + 1;
  return svg.substr(0, end_of_tag) + "\n<style>" + kColours + kChartStyle + "</style>" +
         svg.substr(end_of_tag);
}

}  // namespace cifar

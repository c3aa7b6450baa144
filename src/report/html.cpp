#include "report/html.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "report/style.h"

namespace cifar {

std::string escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string percent(double fraction) {
  return fmt::format("{:.1f} %", 100 * fraction);
}

std::string spread_text(const Spread& spread) {
  if (spread.count == 0) return "–";
  if (spread.count == 1) return percent(spread.mean);
  return fmt::format("{:.1f} ± {:.1f} %", 100 * spread.mean, 100 * spread.deviation);
}

std::string duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

std::string data_uri(const std::string& png) {
  constexpr const char* kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string uri = "data:image/png;base64,";
  for (size_t i = 0; i < png.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k) {
      bits = bits << 8 | (i + k < png.size() ? static_cast<uint8_t>(png[i + k]) : 0);
    }
    for (size_t k = 0; k < 4; ++k) {
      uri += i + k > png.size() ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
    }
  }
  return uri;
}

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows,
                       const std::string& css_class) {
  std::string html =
      fmt::format("<div class=\"scroll\"><table class=\"{}\">\n<thead><tr>", css_class);
  for (const std::string& cell : header) html += "<th scope=\"col\">" + cell + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    html += "<tr><th scope=\"row\">" + row.front() + "</th>";
    for (size_t i = 1; i < row.size(); ++i) html += "<td>" + row[i] + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string section(const std::string& title, const std::string& body) {
  return "<section>\n<h2>" + escape(title) + "</h2>\n" + body + "</section>\n";
}

std::string folded(const std::string& title, const std::string& body) {
  return "<details><summary>" + escape(title) + "</summary>\n" + body + "</details>\n";
}

std::string warnings_box(const std::vector<std::string>& warnings) {
  std::string html;
  for (const std::string& warning : warnings) {
    html += "<p class=\"warning\" role=\"note\">" + escape(warning) + "</p>\n";
  }
  return html;
}

std::string tiles(const std::vector<Tile>& all) {
  std::string html = "<dl class=\"tiles\">\n";
  for (const Tile& tile : all) {
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd><dd class=\"note\">{}</dd></div>\n",
                        escape(tile.label), escape(tile.value), escape(tile.note));
  }
  return html + "</dl>\n";
}

std::string html_page(const std::string& title, const std::string& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<link rel=\"icon\" href=\"data:,\">\n<title>" +
         escape(title) + "</title>\n<style>" + kColours + kPageStyle + kChartStyle +
         "</style>\n</head>\n<body>\n<main>\n" + body + "</main>\n</body>\n</html>\n";
}

}  // namespace cifar

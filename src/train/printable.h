// Names out of files, for messages: what a terminal would obey does not reach it.
#pragma once

#include <string>
#include <string_view>

namespace cifar {

// At most 80 bytes, control characters as '?'.
inline std::string printable(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string shown(text.substr(0, kMost));
  for (size_t i = 0; i < shown.size(); ++i) {
    const auto c = static_cast<unsigned char>(shown[i]);
    // From U+0080 to U+009F there are control characters, too.
    const bool second = i > 0 && shown[i - 1] == '\xc2' && c >= 0x80 && c < 0xa0;
    if (c < 0x20 || c == 0x7f || second) shown[i] = '?';
    if (second) shown[i - 1] = '?';
  }
  return text.size() > kMost ? shown + "..." : shown;
}

inline std::string in_quotes(std::string_view text) {
  std::string marks = "\"";
  return marks.append(printable(text)).append("\"");
}

}  // namespace cifar

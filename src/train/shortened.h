// Names out of files, for messages: a hostile file can make them as long as itself.
#pragma once

#include <string>
#include <string_view>

#include "base/printable.h"

namespace cifar {

// printable() of the first 80 bytes at most.
inline std::string shortened(std::string_view text) {
  constexpr size_t kMost = 80;
  return text.size() > kMost ? printable(text.substr(0, kMost)) + "..." : printable(text);
}

inline std::string in_quotes(std::string_view text) {
  std::string marks = "\"";
  return marks.append(shortened(text)).append("\"");
}

}  // namespace cifar

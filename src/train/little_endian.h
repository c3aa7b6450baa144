// Numbers out of bytes that come from a file: each read is checked against the end.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace cifar {

// `count` bytes from `offset`; std::runtime_error when they are not all there.
inline std::string_view piece_of(std::string_view bytes, uint64_t offset, uint64_t count) {
  if (offset > bytes.size() || count > bytes.size() - offset) {
    throw std::runtime_error("a size that reaches beyond the end");
  }
  return bytes.substr(offset, count);
}

// `width` bytes from `offset`, the lowest first.
inline uint64_t little_endian(std::string_view bytes, uint64_t offset, size_t width) {
  const std::string_view piece = piece_of(bytes, offset, width);
  uint64_t number = 0;
  for (size_t i = 0; i < width; ++i) {
    number |= uint64_t{static_cast<uint8_t>(piece[i])} << 8 * i;
  }
  return number;
}

}  // namespace cifar

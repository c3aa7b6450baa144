// The header of a safetensors file. Read event by event into what it may hold and no more, so that
// no header takes more memory than a few times its size.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cifar {

struct SafetensorsEntry {
  std::string name, type;  // "F32"
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // in the bytes behind the header
};

// In the order of the header; __metadata__ is left out. std::runtime_error for other JSON than the
// format has, and for a name that comes twice.
std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json);

}  // namespace cifar

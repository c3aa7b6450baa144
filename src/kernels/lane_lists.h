// For each mask of eight lanes the numbers of its lanes, a byte each, the first lowest.
#pragma once

#include <array>
#include <cstdint>

namespace cifar {

constexpr std::array<uint64_t, 256> list_lanes() {
  std::array<uint64_t, 256> lists{};
  for (uint32_t mask = 0; mask < 256; ++mask) {
    uint32_t place = 0;
    for (uint64_t lane = 0; lane < 8; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      lists[mask] |= lane << place;
      place += 8;
    }
  }
  return lists;
}
inline constexpr std::array<uint64_t, 256> kLaneLists = list_lanes();

}  // namespace cifar

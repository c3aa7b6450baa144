// How a global batch falls into shards, and shards into ranks: contiguous, as even as can be, the
// first ones one larger. Any of them may be empty.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/range.h"

namespace cifar {

// Part `index` of `parts` of the numbers 0 .. total-1.
inline Range part_of(int64_t total, int64_t parts, int64_t index) {
  const int64_t small = total / parts, larger = total % parts;
  return {index * small + std::min(index, larger), small + (index < larger ? 1 : 0)};
}

// The samples, of a batch of `batch`, that the shards of `mine` hold together.
inline Range samples_of(const Range& mine, int64_t batch, int64_t shards) {
  if (mine.count == 0) return {0, 0};
  const int64_t first = part_of(batch, shards, mine.first).first;
  return {first, part_of(batch, shards, mine.end() - 1).end() - first};
}

}  // namespace cifar

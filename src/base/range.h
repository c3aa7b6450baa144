// A run of consecutive numbers: samples of an order, shards of a batch, blocks of a split.
#pragma once

#include <cstdint>

namespace cifar {

struct Range {
  int64_t first = 0;
  int64_t count = 0;

  int64_t end() const { return first + count; }
  bool operator==(const Range&) const = default;
};

}  // namespace cifar

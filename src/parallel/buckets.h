// The pieces in which a flat gradient is reduced while backward still runs.
#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"
#include "parallel/flat_state.h"

namespace cifar {

struct Bucket {
  Range elements;                  // of state.reduced()
  std::vector<size_t> parameters;  // entries that get a gradient; none: ready before backward
  size_t earliest;                 // place in the network of the one that backward reaches last
};

// In the order in which they start, the same on every rank: as backward completes them, from the
// last layers to the first. They tile state.reduced(); one is closed once it has `elements` of
// them. state.rest() is known before backward: a bucket of its own with `rest_apart`, else part of
// that of the last parameters.
std::vector<Bucket> buckets_of(const FlatState& state, int64_t elements, bool rest_apart);

}  // namespace cifar

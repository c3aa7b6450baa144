// Which samples a step takes: pure functions of (seed, epoch, step), the same on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"

namespace cifar {

// `samples` in the order in which this epoch visits them; each epoch is shuffled from `samples`
// itself, not from the epoch before.
std::vector<int32_t> epoch_order(const std::vector<int32_t>& samples, uint64_t seed, int64_t epoch);

// The last, short batch counts, unless it is dropped. Error(kUsage) when that leaves nothing.
int64_t steps_per_epoch(int64_t samples, int64_t batch, bool drop_last = false);

// Where the samples of a step (from 0) lie in the epoch's order.
Range step_range(int64_t step_in_epoch, int64_t batch, int64_t samples);

}  // namespace cifar

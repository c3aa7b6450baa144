// How large the pieces are to be in which a flat gradient is reduced while backward still runs,
// from what sums over the ranks at hand were measured to take: one piece where the gradient is
// small, several where it is large enough that the part which backward hides outweighs the further
// calls.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.h"
#include "parallel/flat_state.h"

namespace cifar {

struct SumTime {
  int64_t bytes;
  double seconds;
};

// Of sums of the whole of `tensor` and of powers of four of bytes below it, from 16 KB on, in
// rising order; the same on all ranks. Some 16 sums of the whole, which overwrite it; waits for the
// device.
std::vector<SumTime> measure_sums(Communicator& comm, const torch::Tensor& tensor);

// Between two measured sizes in a straight line; beyond them at the nearest one's rate or, below
// the smallest, at its time.
double seconds_of(const std::vector<SumTime>& times, int64_t bytes);

// What of such a reduction delays a step: the last piece, since no backward is left to hide it, and
// what the pieces take longer than one would. `pieces` are bytes, the last one last.
double delay_of(const std::vector<SumTime>& times, const std::vector<int64_t>& pieces);

// KiB at which a bucket of state's gradients, sent as `type`, is to be closed so that they delay a
// step least. A choice of more buckets has to be better by a tenth.
int64_t best_bucket_kib(const std::vector<SumTime>& times, const FlatState& state,
                        torch::ScalarType type);

}  // namespace cifar

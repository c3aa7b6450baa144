// Loss and accuracy over a whole split: sums and counts, divided once. No sample is padded or
// dropped. The split is cut into fixed blocks, and blocks are added in one order, so that the
// result is the same bits whichever ranks computed them.
#pragma once

#include <memory>
#include <string>

#include "comm/communicator.h"
#include "data/batches.h"
#include "model/network.h"
#include "train/precision.h"

namespace cifar {

struct EvaluationResult {
  int64_t samples = 0;
  int64_t correct = 0;
  double loss = 0;  // mean

  double accuracy() const {
    return samples == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(samples);
  }
};

// `samples` samples of the order of `batches`. `how`: "sharded", the blocks are divided over the
// ranks; "rank0", rank 0 computes them all while the others wait. Every rank calls it and gets the
// result.
EvaluationResult evaluate(Network& network, Batches& batches, int64_t samples,
                          const std::string& how, const Precision& precision, Communicator& comm);

}  // namespace cifar

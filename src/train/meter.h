// The running sums of an epoch, kept on the device, and the watch for a loss or gradient that is
// not finite. All ranks feed it the same reduced numbers, so all come to the same verdict at the
// same step.
#pragma once

#include <torch/types.h>

#include "parallel/flat_state.h"
#include "train/state.h"

namespace cifar {

class Meter {
 public:
  explicit Meter(const FlatState& flat);

  // Adds the step just run: `step` (from 1) over `samples` samples. Does not wait for the device.
  void add(int64_t step, int64_t samples);

  // Moves the sums so far into `position`; waits for the device. True when a rank was asked to
  // stop. Error(kDiverged), naming the first such step, when a loss or gradient was not finite.
  bool read(Position& position);

 private:
  const FlatState& flat_;
  torch::Tensor sums_;       // float64 [3]: loss times samples, right answers, stop requests
  torch::Tensor first_bad_;  // float64 []: the first step that was not finite, or infinity
};

}  // namespace cifar

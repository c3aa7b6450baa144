// The running sums of an epoch, kept on the device, and the watch for a loss or gradient that is
// not finite. All ranks feed it the same reduced numbers, so all come to the same verdict at the
// same step.
#pragma once

#include <torch/types.h>

#include "base/step_values.h"
#include "parallel/flat_state.h"
#include "train/state.h"

namespace cifar {

// What any rank asked for since the last read.
struct Wishes {
  bool stop = false;
  bool checkpoint = false;
};

class Meter {
 public:
  explicit Meter(const FlatState& flat);

  // Adds what the step over `samples` samples left in flat.reduced(); `now` is on the device. Does
  // not wait for the device, and may be captured.
  void add(const StepValues* now, int64_t samples);

  // Moves the sums so far into `position`; waits for the device. Error(kDiverged), naming the first
  // such step, when a loss or gradient was not finite.
  Wishes read(Position& position);

 private:
  void clear();

  const FlatState& flat_;
  torch::Tensor sums_;  // uint8: MeterSums
};

}  // namespace cifar

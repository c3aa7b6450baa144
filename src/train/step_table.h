// The values of the steps to come (StepValues, and the scalars of each optimizer), made once an
// epoch and laid in one table on the device. next() brings a row to a fixed place there, by a row
// counter that it advances itself: nothing that the host knows takes part in a step.
#pragma once

#include <torch/types.h>

#include <vector>

#include "base/range.h"
#include "base/step_values.h"
#include "train/optimizer_group.h"

namespace cifar {

struct StepPlan {
  Range samples;  // of the epoch's order: the global batch
  StepValues values;
  std::vector<double> learning_rates;  // of each optimizer group
};

class StepTable {
 public:
  // At most `capacity` steps are planned at a time.
  StepTable(const std::vector<OptimizerGroup>& groups, int64_t capacity, torch::Device device);

  // The next steps; `updates` are done before the first of them. On a GPU ordered by the current
  // stream.
  void load(const std::vector<StepPlan>& plans, int64_t updates);

  // Moves on to the next step. May be captured.
  void next();

  // Of the step that next() moved on to, at the same place on the device each time.
  const StepValues* values() const;
  // uint8 [Optimizer::scalar_bytes()]
  torch::Tensor scalars(size_t group) const;

 private:
  const std::vector<OptimizerGroup>& groups_;
  std::vector<int64_t> offsets_;  // of each group's scalars in a row
  torch::Tensor table_;           // uint8 [capacity, row]
  torch::Tensor row_;             // uint8 [1, row]
  torch::Tensor counter_;         // int64 [1]
};

}  // namespace cifar

// Which steps a run is made of: pure arithmetic on its settings, the same on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"
#include "config/config.h"
#include "train/optimizer_group.h"
#include "train/state.h"
#include "train/step_table.h"

namespace cifar {

class RunPlan {
 public:
  // Over a train split of `samples` images. Error(kUsage) for a schedule that cannot be, or a batch
  // of which the split has not even one where short batches are dropped.
  RunPlan(const Config& config, int64_t samples, const std::vector<OptimizerGroup>& groups);

  int64_t steps_per_epoch() const { return steps_per_epoch_; }
  int64_t total_steps() const { return steps_per_epoch_ * config_.train.epochs; }
  // That the whole run trains on, an image counting in each epoch.
  int64_t total_samples() const;

  // Of the epoch's order.
  Range samples_of_step(int64_t step_in_epoch) const;
  // The steps from here to the end of the epoch.
  std::vector<StepPlan> rest_of_epoch(const Position& at) const;
  // Of each optimizer, at a step of the run, from 0.
  std::vector<double> learning_rates(int64_t step) const;

 private:
  const Config& config_;
  int64_t samples_;
  const std::vector<OptimizerGroup>& groups_;
  int64_t steps_per_epoch_;
};

}  // namespace cifar

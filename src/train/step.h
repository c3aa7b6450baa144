// One optimizer update over a global batch, as one rank takes part in it: its shards' forward and
// backward, the reduction, the update. After run(), state.flat.metrics() holds the global step's
// mean loss and right answers on every rank, and nothing has waited for the device.
#pragma once

#include <memory>
#include <vector>

#include "base/range.h"
#include "comm/communicator.h"
#include "data/batches.h"
#include "parallel/reducer.h"
#include "train/phase_timer.h"
#include "train/precision.h"
#include "train/state.h"

namespace cifar {

struct StepPlan {
  Range samples;  // of the epoch's order: the global batch
  int64_t epoch;
  std::vector<double> learning_rates;  // of each optimizer group
  bool stop_requested;                 // by this rank; the sum over ranks is in metrics()[2]
  bool checkpoint_wanted;              // likewise, metrics()[3]
};

class TrainStep {
 public:
  TrainStep(const TrainConfig& config, TrainState& state, Batches& batches, Communicator& comm,
            PhaseTimer& timer);

  void run(const StepPlan& plan);

 private:
  void compute_shard(const Range& shard, const StepPlan& plan, bool last);

  TrainState& state_;
  Batches& batches_;
  Communicator& comm_;
  PhaseTimer& timer_;
  Precision precision_;
  uint64_t seed_;
  int64_t shards_;
  double label_smoothing_;
  bool sums_losses_;  // the gradient is that of the sum of the losses, not of their mean
  std::unique_ptr<Reducer> reducer_;
  uint64_t updates_ = 0;          // the step's number here: its passes see the same weights
  torch::Tensor buffers_before_;  // batch-norm's running statistics; may be empty
};

}  // namespace cifar

// One optimizer update over a global batch, as one rank takes part in it: its shards' forward and
// backward, the reduction, the update. After run(), state.flat.metrics() holds the global step's
// mean loss and right answers on every rank, the meter has them too, and nothing has waited for the
// device. On a GPU a step is captured as a CUDA graph and replayed (train/replay.h), collectives
// included where the communicator's can be.
#pragma once

#include <memory>
#include <vector>

#include "base/range.h"
#include "comm/communicator.h"
#include "data/batches.h"
#include "parallel/reducer.h"
#include "train/loss.h"
#include "train/meter.h"
#include "train/phase_timer.h"
#include "train/precision.h"
#include "train/replay.h"
#include "train/state.h"
#include "train/step_table.h"

namespace cifar {

class TrainStep {
 public:
  // At most `longest_plan` steps are planned at a time. With `graphs` false a GPU's steps are
  // launched one by one, to the same results.
  TrainStep(const TrainConfig& config, TrainState& state, Batches& batches, Communicator& comm,
            PhaseTimer& timer, Meter& meter, int64_t longest_plan, bool graphs);

  // The steps that come next, in place of those planned before.
  void plan(std::vector<StepPlan> plans);
  std::string reduction() const { return reducer_->text(); }
  // The next of them. `wishes`: this rank's; the meter sums them over the ranks.
  void run(const Wishes& wishes);

 private:
  void tell(const Wishes& wishes);
  void work(int64_t samples);
  void compute_shard(const Range& shard, int64_t samples, bool last);
  Gradients prepare_gradients();
  void update();

  TrainState& state_;
  Batches& batches_;
  Communicator& comm_;
  PhaseTimer& timer_;
  Meter& meter_;
  Precision precision_;
  int64_t shards_;
  double label_smoothing_;
  bool sums_losses_;
  double loss_scale_;
  std::unique_ptr<Reducer> reducer_;
  StepTable table_;
  Replay replay_;
  std::vector<StepPlan> plans_;
  size_t next_ = 0;
  uint64_t updates_ = 0;          // the step's number here: its passes see the same weights
  torch::Tensor buffers_before_;  // batch-norm's running statistics; may be empty
  Wishes told_;
  torch::Tensor wishes_;  // float32 [2], what told_ says, on the device
};

}  // namespace cifar

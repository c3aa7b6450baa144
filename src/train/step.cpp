#include "train/step.h"

#include "parallel/shards.h"
#include "train/loss.h"

namespace cifar {

TrainStep::TrainStep(const TrainConfig& config, TrainState& state, Batches& batches,
                     Communicator& comm, PhaseTimer& timer)
    : state_(state),
      batches_(batches),
      comm_(comm),
      timer_(timer),
      precision_(config.precision, state.flat.parameters().device()),
      seed_(static_cast<uint64_t>(config.seed)),
      shards_(config.shards),
      label_smoothing_(config.label_smoothing),
      sums_losses_(config.loss_reduction == "sum"),
      reducer_(make_reducer(config.reduction, comm, state.flat, config.shards)),
      buffers_before_(torch::empty_like(state.flat.buffers())) {}

void TrainStep::run(const StepPlan& plan) {
  timer_.begin(Phase::kCompute);
  const FlatState& flat = state_.flat;
  reducer_->begin();
  ++updates_;
  buffers_before_.copy_(flat.buffers());
  if (plan.stop_requested) flat.metrics()[2].fill_(1);
  if (plan.checkpoint_wanted) flat.metrics()[3].fill_(1);

  const Range mine = part_of(shards_, comm_.size(), comm_.rank());
  const Range samples = samples_of(mine, plan.samples.count, shards_);
  for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
    const Range part = part_of(plan.samples.count, shards_, shard);
    if (part.count > 0) compute_shard(part, plan, part.end() == samples.end());
    reducer_->after_shard(shard);
  }

  timer_.begin(Phase::kCommunication);
  reducer_->finish();

  timer_.begin(Phase::kCompute);
  if (flat.buffers().numel() > 0) flat.buffers().copy_(flat.buffer_sums());
  for (size_t i = 0; i < state_.groups.size(); ++i) {
    const OptimizerGroup& group = state_.groups[i];
    group.optimizer->step(group.slice_of(flat.parameters()), group.slice_of(flat.gradients()),
                          plan.learning_rates[i]);
  }
  timer_.end();
}

// Adds the shard's part of the step's gradient, loss, right answers and running statistics to the
// flat state. The loss is a sum over samples, divided once (or, its gradient, not at all), by the
// global batch: shards of any size weigh right. Running statistics start from where the step began,
// in each shard.
void TrainStep::compute_shard(const Range& shard, const StepPlan& plan, bool last) {
  timer_.begin(Phase::kData);
  const Batch batch = batches_.get(plan.samples.first + shard.first, shard.count);

  timer_.begin(Phase::kCompute);
  const auto global = static_cast<double>(plan.samples.count);
  const torch::Tensor buffers = state_.flat.buffers();
  if (buffers.numel() > 0) buffers.copy_(buffers_before_);
  torch::Tensor logits;
  {
    const Precision::Scope scope(precision_);
    logits =
        state_.network->forward(batch.images, {true, seed_, plan.epoch, batch.samples, updates_});
  }
  if (buffers.numel() > 0) {
    state_.flat.buffer_sums().add_(buffers, static_cast<double>(shard.count) / global);
  }
  const CrossEntropy terms = {1 / global, sums_losses_ ? 1 : 1 / global, label_smoothing_};
  const auto gradient = cross_entropy(logits, batch.labels, terms, state_.flat.metrics());
  reducer_->before_backward(last);
  logits.backward(gradient);
}

}  // namespace cifar

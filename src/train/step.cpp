#include "train/step.h"

#include "parallel/shards.h"

namespace cifar {
namespace {

// Large enough for one launch to pay, small enough that the last layers' sums run beside backward.
constexpr int64_t kBucketBytes = 256 * 1024;

int64_t shards_of(const TrainConfig& config, const Communicator& comm) {
  return config.shards > 0 ? config.shards : comm.size();
}

}  // namespace

TrainStep::TrainStep(const TrainConfig& config, TrainState& state, Batches& batches,
                     Communicator& comm, PhaseTimer& timer)
    : state_(state),
      batches_(batches),
      comm_(comm),
      timer_(timer),
      precision_(config.precision, state.flat.parameters().device()),
      seed_(static_cast<uint64_t>(config.seed)),
      shards_(shards_of(config, comm)),
      reducer_(comm, state.flat, kBucketBytes),
      buffers_before_(torch::empty_like(state.flat.buffers())),
      buffers_sum_(torch::empty_like(state.flat.buffers())) {}

void TrainStep::run(const StepPlan& plan) {
  timer_.begin(Phase::kCompute);
  state_.flat.reduced().zero_();
  buffers_before_.copy_(state_.flat.buffers());
  buffers_sum_.zero_();
  if (plan.stop_requested) state_.flat.metrics()[2].fill_(1);

  const Range mine = part_of(shards_, comm_.size(), comm_.rank());
  const Range samples = samples_of(mine, plan.samples.count, shards_);
  for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
    const Range part = part_of(plan.samples.count, shards_, shard);
    if (part.count > 0) compute_shard(part, plan, part.end() == samples.end());
  }

  timer_.begin(Phase::kCommunication);
  reducer_.finish();
  average_buffers();

  timer_.begin(Phase::kCompute);
  state_.optimizer->step(state_.flat.parameters(), state_.flat.gradients(), plan.learning_rate);
  timer_.end();
}

// Adds the shard's part of the step's gradient, loss and right answers to the flat state. The loss
// is a sum over samples, divided once, by the global batch: shards of any size weigh right.
void TrainStep::compute_shard(const Range& shard, const StepPlan& plan, bool last) {
  timer_.begin(Phase::kData);
  const Batch batch = batches_.get(plan.samples.first + shard.first, shard.count);

  timer_.begin(Phase::kCompute);
  const auto global = static_cast<double>(plan.samples.count);
  if (buffers_sum_.numel() > 0) state_.flat.buffers().copy_(buffers_before_);
  torch::Tensor loss, logits;
  {
    const Precision::Scope scope(precision_);
    logits = state_.network->forward(batch.images, {true, seed_, plan.epoch, batch.samples});
    loss = torch::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum) / global;
  }
  const auto metrics = state_.flat.metrics();
  metrics[0].add_(loss.detach());
  metrics[1].add_(logits.detach().argmax(1).eq(batch.labels).sum());
  if (last) reducer_.arm();
  loss.backward();
  if (buffers_sum_.numel() > 0) {
    buffers_sum_.add_(state_.flat.buffers(), static_cast<double>(shard.count) / global);
  }
}

// Running statistics become the mean over shards of what each shard made of them.
void TrainStep::average_buffers() {
  if (buffers_sum_.numel() == 0) return;
  comm_.all_reduce_sum(buffers_sum_);
  state_.flat.buffers().copy_(buffers_sum_);
}

}  // namespace cifar

#include "train/step.h"

#include <utility>

#include "parallel/shards.h"

namespace cifar {
namespace {

// Gradients that are reduced in fp16 have its range too. A summed loss needs none, see
// Precision::loss_scale().
double loss_scale_of(const TrainConfig& config, const Precision& precision) {
  if (config.loss_reduction == "sum") return 1;
  return config.reduction_precision == "fp16" ? Precision::kHalfLossScale : precision.loss_scale();
}

}  // namespace

TrainStep::TrainStep(const TrainConfig& config, TrainState& state, Batches& batches,
                     Communicator& comm, PhaseTimer& timer, Meter& meter, int64_t longest_plan,
                     bool graphs)
    : state_(state),
      batches_(batches),
      comm_(comm),
      timer_(timer),
      meter_(meter),
      precision_(config.precision, state.flat.parameters().device()),
      shards_(config.shards),
      label_smoothing_(config.label_smoothing),
      sums_losses_(config.loss_reduction == "sum"),
      loss_scale_(loss_scale_of(config, precision_)),
      reducer_(make_reducer(config, comm, state.flat)),
      table_(state.groups, longest_plan, state.flat.parameters().device()),
      replay_(state.flat.parameters().device(), graphs && comm.can_be_captured()),
      buffers_before_(torch::empty_like(state.flat.buffers())),
      wishes_(torch::zeros({2}, state.flat.parameters().options())) {}

void TrainStep::plan(std::vector<StepPlan> plans) {
  table_.load(plans, state_.updates());
  plans_ = std::move(plans);
  next_ = 0;
}

void TrainStep::run(const Wishes& wishes) {
  const int64_t samples = plans_.at(next_++).samples.count;
  tell(wishes);
  timer_.begin(Phase::kCompute);
  replay_.run(samples, [this, samples] { work(samples); });
  comm_.watch();
  timer_.end();
  state_.set_updates(state_.updates() + 1);
}

void TrainStep::tell(const Wishes& wishes) {
  if (wishes.stop != told_.stop) wishes_[0].fill_(wishes.stop);
  if (wishes.checkpoint != told_.checkpoint) wishes_[1].fill_(wishes.checkpoint);
  told_ = wishes;
}

// The whole step. What differs from step to step it reads from the table, on the device.
void TrainStep::work(int64_t samples) {
  const FlatState& flat = state_.flat;
  table_.next();
  reducer_->begin();
  flat.metrics().narrow(0, 2, 2).copy_(wishes_);
  if (buffers_before_.numel() > 0) buffers_before_.copy_(flat.buffers());
  ++updates_;

  const Range mine = part_of(shards_, comm_.size(), comm_.rank());
  const Range my_samples = samples_of(mine, samples, shards_);
  for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
    const Range part = part_of(samples, shards_, shard);
    if (part.count > 0) {
      compute_shard(part, samples, part.end() == my_samples.end());
    } else if (reducer_->writes_next()) {
      flat.gradients().zero_();
    }
    reducer_->after_shard(shard);
  }

  timer_.begin(Phase::kCommunication);
  reducer_->finish();

  timer_.begin(Phase::kCompute);
  meter_.add(table_.values(), samples);
  update();
}

// Puts the shard's part of the step's gradient, loss, right answers and running statistics into the
// flat state. The loss is a sum over samples, divided once (or, its gradient, not at all), by the
// global batch: shards of any size weigh right. Running statistics start from where the step began,
// in each shard.
void TrainStep::compute_shard(const Range& shard, int64_t samples, bool last) {
  timer_.begin(Phase::kData);
  const Batch batch = batches_.get(table_.values(), shard.first, shard.count);

  timer_.begin(Phase::kCompute);
  const auto global = static_cast<double>(samples);
  const torch::Tensor buffers = state_.flat.buffers();
  if (buffers.numel() > 0) buffers.copy_(buffers_before_);
  torch::Tensor logits;
  {
    const Precision::Scope scope(precision_);
    logits = state_.network->forward(
        batch.images, {true, table_.values(), batch.samples, updates_, prepare_gradients()});
  }
  if (buffers.numel() > 0) {
    state_.flat.buffer_sums().add_(buffers, static_cast<double>(shard.count) / global);
  }
  const CrossEntropy terms = {1 / global, loss_scale_ * (sums_losses_ ? 1 : 1 / global),
                              label_smoothing_};
  const auto gradient = cross_entropy(logits, batch.labels, terms, state_.flat.metrics());
  reducer_->before_backward(last);
  logits.backward(gradient);
}

// What a shard is to do with the gradients that are there. On a GPU those that are to be written
// over are zeroed here, in one launch instead of one a parameter, and added to.
Gradients TrainStep::prepare_gradients() {
  if (!reducer_->writes_next()) return Gradients::kAdd;
  const torch::Tensor& gradients = state_.flat.gradients();
  if (gradients.is_cpu()) return Gradients::kWrite;
  gradients.zero_();
  return Gradients::kAdd;
}

void TrainStep::update() {
  const FlatState& flat = state_.flat;
  if (flat.buffers().numel() > 0) flat.buffers().copy_(flat.buffer_sums());
  if (loss_scale_ != 1) flat.gradients().mul_(1 / loss_scale_);
  for (size_t i = 0; i < state_.groups.size(); ++i) {
    const OptimizerGroup& group = state_.groups[i];
    group.optimizer->apply(group.slice_of(flat.parameters()), group.slice_of(flat.gradients()),
                           table_.scalars(i));
  }
}

}  // namespace cifar

#include "train/state.h"

#include "data/image_set.h"

namespace cifar {

std::shared_ptr<Network> make_network(const Config& config, int64_t most_weights) {
  const Shape image{kChannels, kImageSize, kImageSize};
  const std::string& precision = config.train.precision;
  const bool kernels =
      config.train.kernels == "auto" && (precision == "fp32" || precision == "tf32");
  return std::make_shared<Network>(config.model.layers, image, kClasses,
                                   static_cast<uint64_t>(config.train.seed),
                                   kernels ? Kernels::kAuto : Kernels::kLibTorch, most_weights);
}

TrainState::TrainState(const Config& config, torch::Device device, Communicator* comm)
    : network(make_network(config)),
      flat(*network, device, groups_of(config, *network), comm),
      groups(make_optimizer_groups(config, *network, flat, comm)) {}

void TrainState::begin_anew(const Config& config) {
  torch::NoGradGuard no_grad;
  const auto fresh = make_network(config);
  const auto copy = [](const auto& from, const auto& to) {
    for (const auto& item : from) to[item.key()].copy_(item.value());
  };
  copy(fresh->named_parameters(), network->named_parameters());
  copy(fresh->named_buffers(), network->named_buffers());
  for (const OptimizerGroup& group : groups) {
    for (const auto& [name, tensor] : group.optimizer->state()) tensor.zero_();
  }
  set_updates(0);
  position = {};
}

void TrainState::set_updates(int64_t updates) {
  for (OptimizerGroup& group : groups) group.optimizer->set_steps(updates);
}

void broadcast(TrainState& state, Communicator& comm, int root) {
  comm.broadcast(state.flat.parameters(), root);
  comm.broadcast(state.flat.buffers(), root);
  for (const OptimizerGroup& group : state.groups) {
    for (const auto& [name, tensor] : group.optimizer->state()) comm.broadcast(tensor, root);
  }

  Position& at = state.position;
  auto counts = torch::tensor({at.epoch, at.step_in_epoch, at.step, at.samples, state.updates()},
                              torch::kInt64);
  auto sums = torch::tensor({at.loss_sum, at.correct}, torch::kFloat64);
  comm.broadcast(counts, root);
  comm.broadcast(sums, root);
  const int64_t* count = counts.const_data_ptr<int64_t>();
  const double* sum = sums.const_data_ptr<double>();
  at = {count[0], count[1], count[2], count[3], sum[0], sum[1]};
  state.set_updates(count[4]);
}

std::vector<ReplicaTensor> replica_tensors(const TrainState& state) {
  std::vector<ReplicaTensor> tensors;
  const auto add = [&](const std::string& prefix, const torch::Tensor& flat,
                       const std::vector<FlatEntry>& entries) {
    for (const FlatEntry& entry : entries) {
      tensors.push_back({prefix + entry.name, flat.narrow(0, entry.offset, entry.size)});
    }
  };
  const FlatState& flat = state.flat;
  add("", flat.parameters(), flat.parameter_entries());
  add("", flat.buffers(), flat.buffer_entries());
  for (const OptimizerGroup& group : state.groups) {
    for (const auto& [moment, tensor] : group.optimizer->state()) {
      add(moment + " of ", tensor, group.entries);
    }
  }
  const Position& at = state.position;
  tensors.push_back({"counters", torch::tensor({at.epoch, at.step_in_epoch, at.step, at.samples,
                                                state.updates()})});
  return tensors;
}

}  // namespace cifar

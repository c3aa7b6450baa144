#include "train/checkpoint.h"

#include <fmt/format.h>

#include "base/error.h"
#include "train/shortened.h"

namespace cifar {
namespace {

torch::Tensor host_copy(const torch::Tensor& tensor) {
  return tensor.detach().cpu().contiguous().clone();
}

void copy_named(const NamedTensors& from, const std::string& name, const std::string& file,
                torch::Tensor to) {
  const auto found = from.find(name);
  const auto expected =
      fmt::format("a tensor of {}, as the recipe's network has", c10::str(to.sizes()));
  if (found == from.end()) {
    throw Error(ExitCode::kCheckpoint, file, "no tensor \"" + name + "\"", expected);
  }
  if (found->second.sizes() != to.sizes()) {
    throw Error(ExitCode::kCheckpoint, file,
                fmt::format("tensor \"{}\" of {}", name, c10::str(found->second.sizes())),
                expected);
  }
  to.copy_(found->second);
}

// Training stops at the first number that is not finite, so nobody has trained such weights here;
// with them every answer is the first class, and the accuracy that of guessing.
void refuse_not_finite(const std::string& name, const torch::Tensor& tensor,
                       const std::string& file) {
  const auto bad = tensor.numel() - torch::isfinite(tensor).sum().item<int64_t>();
  if (bad > 0) {
    throw Error(ExitCode::kCheckpoint, file,
                fmt::format("tensor \"{}\" has {} of {} numbers that are NaN or infinite", name,
                            bad, tensor.numel()),
                "finite numbers in float32");
  }
  if (name.ends_with(".running_var") && tensor.lt(0).any().item<bool>()) {
    throw Error(ExitCode::kCheckpoint, file, "tensor \"" + name + "\" has variances below 0",
                "0 or more");
  }
}

void refuse_superfluous(const NamedTensors& from, const NamedTensors& wanted,
                        const std::string& file) {
  for (const auto& [name, tensor] : from) {
    if (wanted.count(name) > 0) continue;
    throw Error(ExitCode::kCheckpoint, file,
                fmt::format("tensor \"{}\" of {}", shortened(name), c10::str(tensor.sizes())),
                "only tensors of the recipe's network");
  }
}

}  // namespace

Checkpoint take_checkpoint(const TrainState& state, const std::string& recipe) {
  Checkpoint checkpoint{recipe, state.position, {}, optimizer_name(state.groups), state.updates(),
                        {},     state.data_hash};
  const FlatState& flat = state.flat;
  for (const auto& entry : flat.parameter_entries()) {
    checkpoint.model[entry.name] = host_copy(entry.tensor);
  }
  for (const auto& entry : flat.buffer_entries()) {
    checkpoint.model[entry.name] = host_copy(entry.tensor);
  }
  for (const OptimizerGroup& group : state.groups) {
    for (const auto& [moment, tensor] : group.optimizer->state()) {
      for (const auto& entry : group.entries) {
        checkpoint.optimizer_state[moment][entry.name] = host_copy(view_like(tensor, entry));
      }
    }
  }
  return checkpoint;
}

void restore_weights(const NamedTensors& weights, const std::string& file,
                     torch::nn::Module& network) {
  torch::NoGradGuard no_grad;
  NamedTensors wanted;
  for (const auto& item : network.named_parameters()) wanted[item.key()] = item.value();
  for (const auto& item : network.named_buffers()) wanted[item.key()] = item.value();
  for (const auto& [name, tensor] : wanted) copy_named(weights, name, file, tensor);
  refuse_superfluous(weights, wanted, file);
  for (const auto& [name, tensor] : wanted) refuse_not_finite(name, tensor, file);
}

void restore(const Checkpoint& checkpoint, const std::string& file, TrainState& state) {
  torch::NoGradGuard no_grad;
  restore_weights(checkpoint.model, file, *state.network);
  const std::string optimizer = optimizer_name(state.groups);
  if (checkpoint.optimizer != optimizer) {
    throw Error(ExitCode::kCheckpoint, file, "the state of " + checkpoint.optimizer,
                "the state of the recipe's optimizer, " + optimizer);
  }
  for (const OptimizerGroup& group : state.groups) {
    for (const auto& [moment, tensor] : group.optimizer->state()) {
      const auto found = checkpoint.optimizer_state.find(moment);
      if (found == checkpoint.optimizer_state.end()) {
        throw Error(ExitCode::kCheckpoint, file, "no optimizer state \"" + moment + "\"",
                    "all that " + optimizer + " keeps");
      }
      for (const auto& entry : group.entries) {
        copy_named(found->second, entry.name, file, view_like(tensor, entry));
      }
    }
  }
  state.set_updates(checkpoint.optimizer_steps);
  state.position = checkpoint.position;
}

}  // namespace cifar

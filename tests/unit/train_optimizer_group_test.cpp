// Several optimizers on one flat state: each moves its own parameters, as it would alone, and all
// of it comes back from a checkpoint.
#include <gmock/gmock.h>

#include "refusal.h"
#include "small_run.h"
#include "thread_communicator.h"
#include "train/checkpoint.h"
#include "train/optimizer_group.h"

namespace cifar {
namespace {

OptimizerConfig optimizer(const std::string& name, const std::vector<std::string>& parameters) {
  OptimizerConfig config;
  config.name = name;
  config.parameters = parameters;
  config.learning_rate = 0.1;
  config.momentum = 0.9;
  return config;
}

// The linear layer's weight is claimed first, so that the flat order is not the network's.
Config three_optimizers() {
  Config config = small_config(
      {"conv 4", "batch-norm", "relu", "conv 6 no-bias", "pool max all", "flatten", "linear 10"});
  config.optimizers = {optimizer("adam", {"linear.weight"}), optimizer("muon", {"conv.weight"}),
                       optimizer("sgd", {"*.bias", "batch-norm.weight"})};
  return config;
}

std::vector<std::string> names_of(const OptimizerGroup& group) {
  std::vector<std::string> names;
  for (const FlatEntry& entry : group.entries) names.push_back(entry.name);
  return names;
}

TEST(OptimizerGroups, AreSlicesOfTheFlatStateThatMakeUpAllOfIt) {
  const TrainState state(three_optimizers(), torch::kCPU);
  ASSERT_EQ(state.groups.size(), 3u);
  EXPECT_EQ(names_of(state.groups[0]), std::vector<std::string>{"6.weight"});
  EXPECT_EQ(names_of(state.groups[1]), (std::vector<std::string>{"0.weight", "3.weight"}));
  EXPECT_EQ(names_of(state.groups[2]),
            (std::vector<std::string>{"0.bias", "1.weight", "1.bias", "6.bias"}));
  int64_t next = 0;
  for (const OptimizerGroup& group : state.groups) {
    EXPECT_EQ(group.slice.first, next);
    next = group.slice.end();
    const torch::Tensor slice = group.slice_of(state.flat.parameters());
    for (const FlatEntry& entry : group.entries) {
      EXPECT_EQ(view_like(slice, entry).data_ptr(), entry.tensor.data_ptr()) << entry.name;
    }
  }
  EXPECT_EQ(next, state.flat.parameters().numel());
  EXPECT_EQ(optimizer_name(state.groups), "adam+muon+sgd");
}

// A step of all three, against each tensor's own optimizer on that tensor alone.
TEST(OptimizerGroups, EachUpdatesItsOwn) {
  const Config config = three_optimizers();
  TrainState state(config, torch::kCPU);
  const ImageSet set = random_images(16);
  std::vector<torch::Tensor> before;
  for (const FlatEntry& entry : state.flat.parameter_entries()) {
    before.push_back(entry.tensor.detach().clone());
  }
  const std::vector<double> rates = {0.01, 0.02, 0.03};
  run_ranks(1, [&](Communicator& comm) {
    Stepper(config, set, backwards(16), state, comm).run({0, 16}, rates);
  });
  size_t index = 0;
  for (size_t g = 0; g < state.groups.size(); ++g) {
    for (const FlatEntry& entry : state.groups[g].entries) {
      const auto contiguous = [](const torch::Tensor& t) {
        return t.contiguous().clone().flatten();
      };
      const auto alone = contiguous(before[index]);
      const auto gradient = contiguous(entry.tensor.grad());
      make_optimizer(state.groups[g].config, {alone, {{entry.name, 0, entry.tensor.sizes().vec()}}})
          ->step(alone, gradient, rates[g]);
      EXPECT_FALSE(torch::equal(entry.tensor, before[index])) << entry.name;
      EXPECT_TRUE(torch::allclose(entry.tensor.contiguous().flatten(), alone, 1e-4, 1e-6))
          << entry.name;
      ++index;
    }
  }
}

TEST(OptimizerGroups, ComeBackFromACheckpoint) {
  const Config config = three_optimizers();
  TrainState before(config, torch::kCPU), after(config, torch::kCPU);
  double value = 1;
  for (const OptimizerGroup& group : before.groups) {
    for (const auto& [name, tensor] : group.optimizer->state()) {
      for (const FlatEntry& entry : group.entries) view_like(tensor, entry).fill_(value++);
    }
  }
  before.set_updates(9);
  restore(deserialize(serialize(take_checkpoint(before, "")), "file"), "file", after);
  EXPECT_EQ(after.updates(), 9);
  for (size_t g = 0; g < 3; ++g) {
    const auto wanted = before.groups[g].optimizer->state();
    const auto found = after.groups[g].optimizer->state();
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_TRUE(torch::equal(found[i].second, wanted[i].second)) << g << " " << wanted[i].first;
    }
  }
  Config other = config;
  std::swap(other.optimizers[0], other.optimizers[1]);
  TrainState swapped(other, torch::kCPU);
  EXPECT_THAT(refusal(ExitCode::kCheckpoint,
                      [&] { restore(take_checkpoint(before, ""), "file", swapped); }),
              testing::HasSubstr("the state of adam+muon+sgd; expected the state of the recipe's "
                                 "optimizer, muon+adam+sgd"));
}

}  // namespace
}  // namespace cifar

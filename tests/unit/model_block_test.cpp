// A run of blocks as one operation of autograd: where it leaves the gradients of its parameters.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "model/linear_block.h"
#include "model/network.h"
#include "model_inputs.h"
#include "trainable.h"

namespace cifar {
namespace {

// Four blocks in a row.
const std::vector<std::string> kLayers = {"conv 8",     "pool max 2", "relu",     "conv 16",
                                          "relu",       "pool max 2", "conv 16",  "relu",
                                          "pool max 2", "flatten",    "linear 10"};

Pass training(Gradients gradients) {
  Pass pass = kTraining;
  pass.gradients = gradients;
  return pass;
}

torch::Tensor images() {
  torch::manual_seed(4);
  return torch::rand({5, 3, 32, 32});
}

std::vector<torch::Tensor> expected_gradients() {
  Network network(kLayers, kImage, 10, 42, Kernels::kLibTorch);
  return gradients_of(network.forward(images(), kTraining).square().sum(), network);
}

void expect_near(const torch::Tensor& found, const torch::Tensor& expected) {
  EXPECT_LT((found - expected).norm().item<double>(), 1e-5 * expected.norm().item<double>());
}

// Gradients are there already, of the value 3, with or without the memory order that kernels write.
void backward_onto_threes(Network& network, at::MemoryFormat order, Gradients gradients) {
  for (const auto& parameter : trainable(network)) {
    auto threes = torch::full_like(parameter, 3);
    if (threes.dim() == 4) threes = threes.contiguous(order);
    parameter.mutable_grad() = threes;
  }
  network.forward(images(), training(gradients)).square().sum().backward();
}

TEST(Block, AddsToGradientsOrWritesOverThem) {
  const auto expected = expected_gradients();
  const std::vector<std::pair<Kernels, at::MemoryFormat>> cases = {
      {Kernels::kAuto, at::MemoryFormat::ChannelsLast},
      {Kernels::kAuto, at::MemoryFormat::Contiguous},
      {Kernels::kLibTorch, at::MemoryFormat::Contiguous}};
  for (const auto& [kernels, order] : cases) {
    Network network(kLayers, kImage, 10, 42, kernels);
    backward_onto_threes(network, order, Gradients::kWrite);
    const auto parameters = trainable(network);
    ASSERT_EQ(parameters.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) expect_near(parameters[i].grad(), expected[i]);
    backward_onto_threes(network, order, Gradients::kAdd);
    for (size_t i = 0; i < expected.size(); ++i) expect_near(parameters[i].grad(), expected[i] + 3);
  }
}

TEST(Block, WritesIntoTheMemoryThatIsThere) {
  Network network(kLayers, kImage, 10, 42);
  std::vector<const void*> before;
  for (const auto& parameter : trainable(network)) {
    parameter.mutable_grad() =
        torch::zeros_like(parameter, parameter.dim() == 4 ? at::MemoryFormat::ChannelsLast
                                                          : at::MemoryFormat::Preserve);
    before.push_back(parameter.grad().data_ptr());
  }
  network.forward(images(), training(Gradients::kWrite)).square().sum().backward();
  const auto parameters = trainable(network);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(parameters[i].grad().data_ptr(), before[i]);
}

class Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit Hook(std::function<void(const torch::Tensor&)> action) : action_(std::move(action)) {}
  void operator()(const torch::Tensor& parameter) override { action_(parameter); }

 private:
  std::function<void(const torch::Tensor&)> action_;
};

// From the last block to the first, once each, with the gradient in its place: what an overlapped
// reduction starts from.
TEST(Block, CallsTheHookOfEachParameterOnItsWay) {
  const auto expected = expected_gradients();
  Network network(kLayers, kImage, 10, 42);
  const auto parameters = trainable(network);
  std::vector<size_t> called;
  for (size_t i = 0; i < parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        parameters[i], std::make_unique<Hook>([&, i](const torch::Tensor& parameter) {
          EXPECT_TRUE(parameter.is_same(parameters[i]));
          expect_near(parameter.grad(), expected[i]);
          called.push_back(i);
        }));
  }
  network.forward(images(), training(Gradients::kWrite)).square().sum().backward();
  EXPECT_EQ(called, (std::vector<size_t>{6, 7, 4, 5, 2, 3, 0, 1}));
}

TEST(Block, PutsGradientsThroughTheParametersHooks) {
  const auto expected = expected_gradients();
  for (const Gradients gradients : {Gradients::kWrite, Gradients::kAdd}) {
    Network network(kLayers, kImage, 10, 42);
    const auto parameters = trainable(network);
    parameters[2].register_hook([](const torch::Tensor& gradient) { return 2 * gradient; });
    backward_onto_threes(network, at::MemoryFormat::ChannelsLast, gradients);
    const double before = gradients == Gradients::kAdd ? 3 : 0;
    expect_near(parameters[2].grad(), 2 * expected[2] + before);
    expect_near(parameters[4].grad(), expected[4] + before);
  }
}

TEST(Block, GoesBackwardOnce) {
  Network network(kLayers, kImage, 10, 42);
  const auto loss = network.forward(images(), kTraining).sum();
  loss.backward({}, /*retain_graph=*/true);
  EXPECT_THROW(loss.backward(), c10::Error);
}

TEST(Block, OfFrozenParametersPassesGradientsOn) {
  const auto expected = expected_gradients();
  Network network(kLayers, kImage, 10, 42);
  const auto parameters = network.parameters();
  for (const size_t frozen : {2, 3, 5, 7}) parameters[frozen].set_requires_grad(false);
  network.forward(images(), kTraining).square().sum().backward();
  for (size_t i = 0; i < parameters.size(); ++i) {
    ASSERT_EQ(parameters[i].grad().defined(), parameters[i].requires_grad()) << i;
    if (parameters[i].requires_grad()) expect_near(parameters[i].grad(), expected[i]);
  }
}

TEST(Block, GivesTheGradientOfTheInputToWhoeverAsks) {
  std::vector<torch::Tensor> found;
  for (const Kernels kernels : {Kernels::kAuto, Kernels::kLibTorch}) {
    Network network(kLayers, kImage, 10, 42, kernels);
    for (const bool trains : {true, false}) {
      for (const auto& parameter : network.parameters()) parameter.set_requires_grad(trains);
      const auto input = images().requires_grad_();
      network.forward(input, kTraining).square().sum().backward();
      found.push_back(input.grad());
    }
  }
  for (const auto& gradient : found) expect_near(gradient, found.back());
}

TEST(Block, ANetworkMayGoBeforeItsBackwardPass) {
  auto network = std::make_unique<Network>(kLayers, kImage, 10, 42);
  const auto parameters = trainable(*network);
  const auto loss = network->forward(images(), kTraining).square().sum();
  network.reset();
  loss.backward();
  expect_near(parameters[0].grad(), expected_gradients()[0]);
}

TEST(Block, PacksWeightsIntoTheMemoryOfTheStepBefore) {
  Network network(kLayers, kImage, 10, 42);
  std::vector<const void*> packed;
  for (const uint64_t number : {1, 2}) {
    Pass pass = training(Gradients::kWrite);
    pass.weights = number;
    network.forward(images(), pass).sum().backward();
    packed.push_back(network.steps().front().block->packed.data_ptr());
  }
  EXPECT_EQ(packed[0], packed[1]);
}

TEST(Block, IsLeftToLibTorchWithManyOutputs) {
  EXPECT_TRUE(kernels_pay(LinearBlock{16, 128, 256}));
  EXPECT_FALSE(kernels_pay(LinearBlock{16, 128, 257}));
}

// Kernels read weights that were packed for a pass; those of the next must not lie over them.
TEST(Block, GoesBackwardWithTheWeightsOfItsForwardPass) {
  const auto expected = expected_gradients();
  Network network(kLayers, kImage, 10, 42);
  Pass pass = training(Gradients::kWrite);
  pass.weights = 1;
  const auto loss = network.forward(images(), pass).square().sum();
  {
    const torch::NoGradGuard no_grad;
    for (const auto& parameter : network.parameters()) parameter.mul_(-2);
  }
  pass.weights = 2;
  const auto next = network.forward(images(), pass).square().sum();
  EXPECT_NE(next.item<float>(), loss.item<float>());
  loss.backward();
  const auto parameters = trainable(network);
  for (size_t i = 0; i < expected.size(); ++i) expect_near(parameters[i].grad(), expected[i]);
}

TEST(Block, OfALinearLayerGivesTheSameBitsOnOneAndTwoThreads) {
  const int before = at::get_num_threads();
  torch::manual_seed(4);
  const auto input = torch::rand({70, 3, 32, 32});
  std::vector<std::vector<torch::Tensor>> found;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    Network network({"flatten", "linear 100", "relu", "linear 10"}, kImage, 10, 42);
    ASSERT_TRUE(network.steps().front().block);  // on the kernels
    const auto logits = network.forward(input, kTraining);
    found.push_back(gradients_of(logits.square().sum(), network));
    found.back().push_back(logits);
  }
  at::set_num_threads(before);
  for (size_t i = 0; i < found[0].size(); ++i) EXPECT_TRUE(found[0][i].equal(found[1][i])) << i;
}

TEST(Block, ABatchOfNoImagesHasNoGradient) {
  Network network(kLayers, kImage, 10, 42);
  backward_onto_threes(network, at::MemoryFormat::ChannelsLast, Gradients::kWrite);
  const auto logits = network.forward(torch::empty({0, 3, 32, 32}), training(Gradients::kWrite));
  EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{0, 10}));
  logits.sum().backward();
  for (const auto& parameter : trainable(network)) {
    EXPECT_EQ(parameter.grad().count_nonzero().item<int64_t>(), 0);
  }
}

}  // namespace
}  // namespace cifar

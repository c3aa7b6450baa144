#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "model/network.h"
#include "model_inputs.h"
#include "parallel/flat_state.h"
#include "trainable.h"

namespace cifar {
namespace {

const std::vector<std::string> kLayers = {
    "conv 5",  "batch-norm", "relu", "pool max 4", "conv 7 kernel 1 no-bias",
    "flatten", "linear 10"};

struct Flat {
  std::shared_ptr<Network> network = std::make_shared<Network>(kLayers, kImage, 10, 42);
  FlatState state{*network, torch::kCPU};
};

TEST(FlatState, KeepsTheValues) {
  const Network before(kLayers, kImage, 10, 42);
  const Flat flat;
  const auto found = flat.network->named_parameters(), expected = before.named_parameters();
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(torch::equal(found[i].value(), expected[i].value())) << found[i].key();
    EXPECT_EQ(flat.state.parameter_entries()[i].name, expected[i].key());
  }
  EXPECT_TRUE(torch::equal(flat.network->named_buffers()["1.running_var"], torch::ones({5})));
}

TEST(FlatState, TheNetworksTensorsAreViews) {
  const Flat flat;
  torch::NoGradGuard no_grad;
  flat.state.parameters().fill_(2);
  flat.state.gradients().fill_(3);
  flat.state.buffers().fill_(4);
  for (const auto& parameter : flat.network->parameters()) {
    EXPECT_TRUE(torch::equal(parameter, torch::full_like(parameter, 2)));
    EXPECT_TRUE(torch::equal(parameter.grad(), torch::full_like(parameter, 3)));
  }
  for (const auto& buffer : flat.network->buffers()) {
    EXPECT_TRUE(torch::equal(buffer, torch::full_like(buffer, 4)));
  }
}

TEST(FlatState, TensorsAreAlignedAndDoNotOverlap) {
  const Flat flat;
  const auto check = [](const torch::Tensor& whole, const std::vector<FlatEntry>& entries) {
    int64_t end = 0;
    for (const FlatEntry& entry : entries) {
      EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.tensor.data_ptr()) % 64, 0u) << entry.name;
      EXPECT_EQ(entry.size, entry.tensor.numel());
      EXPECT_GE(entry.offset, end);
      end = entry.offset + entry.size;
    }
    EXPECT_LE(end, whole.numel());
  };
  check(flat.state.parameters(), flat.state.parameter_entries());
  check(flat.state.gradients(), flat.state.parameter_entries());
  check(flat.state.buffers(), flat.state.buffer_entries());
  EXPECT_EQ(flat.state.gradients().numel(), flat.state.parameters().numel());
}

TEST(FlatState, ConvolutionWeightsAreChannelsLast) {
  const Flat flat;
  const auto weight = flat.network->named_parameters()["0.weight"];
  EXPECT_TRUE(weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(weight.grad().is_contiguous(torch::MemoryFormat::ChannelsLast));
  EXPECT_TRUE(flat.network->named_parameters()["6.weight"].is_contiguous());
}

TEST(FlatState, GapsStayZero) {
  const Flat flat;
  auto gaps = torch::ones_like(flat.state.parameters(), torch::kBool);
  for (const FlatEntry& entry : flat.state.parameter_entries()) {
    gaps.narrow(0, entry.offset, entry.size).fill_(false);
  }
  ASSERT_GT(gaps.sum().item<int64_t>(), 0);
  flat.network->forward(torch::rand({2, 3, 32, 32}), kTraining).sum().backward();
  EXPECT_EQ(flat.state.parameters().masked_select(gaps).count_nonzero().item<int64_t>(), 0);
  EXPECT_EQ(flat.state.gradients().masked_select(gaps).count_nonzero().item<int64_t>(), 0);
}

TEST(FlatState, BackwardAddsIntoTheFlatGradient) {
  const Flat flat;
  const auto images = torch::rand({2, 3, 32, 32});
  const auto loss = [&](Network& network) {
    return network.forward(images, kTraining).square().sum();
  };
  Network alone(kLayers, kImage, 10, 42);
  const auto expected = gradients_of(loss(alone), alone);
  loss(*flat.network).backward();
  loss(*flat.network).backward();
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto found = view_like(flat.state.gradients(), flat.state.parameter_entries()[i]);
    const double size = std::max(1.0, expected[i].norm().item<double>());
    EXPECT_LT((found - 2 * expected[i]).norm().item<double>(), 1e-4 * size);
    EXPECT_EQ(found.data_ptr(), flat.network->parameters()[i].grad().data_ptr());
  }
}

// Names, values and hash see a frozen parameter like any other; no gradient ever reaches its place.
TEST(FlatState, FrozenParametersHaveNoGradient) {
  Network network({"whiten 2", "batch-norm no-scale", "pool max all", "flatten", "linear 10"},
                  {3, 32, 32}, 10, 42);
  const auto before = network.named_parameters()["0.weight"].detach().clone();
  const FlatState state(network, torch::kCPU);
  EXPECT_TRUE(torch::equal(network.named_parameters()["0.weight"], before));
  for (int pass = 0; pass < 2; ++pass) {
    network.forward(torch::rand({4, 3, 32, 32}), kTraining).square().sum().backward();
  }
  std::vector<std::string> frozen;
  for (const FlatEntry& entry : state.parameter_entries()) {
    const bool reached = view_like(state.gradients(), entry).count_nonzero().item<int64_t>() > 0;
    EXPECT_EQ(reached, entry.tensor.requires_grad()) << entry.name;
    EXPECT_EQ(entry.tensor.grad().defined(), entry.tensor.requires_grad()) << entry.name;
    if (!entry.tensor.requires_grad()) frozen.push_back(entry.name);
  }
  EXPECT_EQ(frozen, (std::vector<std::string>{"0.weight", "1.weight"}));
  EXPECT_EQ(network.parameter_count(), 24 + 24 + 10 * 24 + 10);

  const std::string hash = state.hash();
  const torch::NoGradGuard no_grad;
  network.named_parameters()["0.weight"].mul_(2);
  EXPECT_NE(state.hash(), hash);
}

TEST(FlatState, MetricsAndBufferSumsLieBehindTheGradients) {
  const Flat flat;
  flat.state.reduced().zero_();
  flat.state.metrics().fill_(1);
  flat.state.buffer_sums().fill_(2);
  const auto buffers = flat.state.buffers().numel();
  EXPECT_EQ(flat.state.metrics().numel(), 4);
  EXPECT_EQ(flat.state.buffer_sums().numel(), buffers);
  EXPECT_EQ(flat.state.gradients().sum().item<float>(), 0);
  EXPECT_EQ(flat.state.reduced().sum().item<float>(), 4 + 2 * buffers);
}

TEST(FlatState, HasNoBuffersWithoutBatchNorm) {
  Network network({"flatten", "linear 10"}, {3, 32, 32}, 10, 42);
  const FlatState state(network, torch::kCPU);
  EXPECT_EQ(state.buffers().numel(), 0);
}

TEST(Hash, IsTheSameForTheSameWeights) {
  EXPECT_EQ(Flat().state.hash(), Flat().state.hash());
  EXPECT_EQ(Flat().state.hash().size(), 32u);
}

TEST(Hash, SeesEveryParameterAndBufferAndNoGradient) {
  const Flat flat;
  torch::NoGradGuard no_grad;
  const std::string hash = flat.state.hash();
  flat.state.gradients().fill_(1);
  EXPECT_EQ(flat.state.hash(), hash);
  const auto check = [&](const std::vector<FlatEntry>& entries) {
    for (const FlatEntry& entry : entries) {
      auto last = entry.tensor.flatten()[-1];  // a copy, for a tensor that is not contiguous
      const auto all = entry.tensor.clone();
      entry.tensor.add_(1e-6 + last.abs() * 1e-6);
      EXPECT_NE(flat.state.hash(), hash) << entry.name;
      entry.tensor.copy_(all);
      EXPECT_EQ(flat.state.hash(), hash) << entry.name;
    }
  };
  check(flat.state.parameter_entries());
  check(flat.state.buffer_entries());
}

TEST(Hash, SeesOneBitAndTheOrderOfValues) {
  const Flat flat;
  torch::NoGradGuard no_grad;
  const std::string hash = flat.state.hash();
  const auto bias = flat.network->named_parameters()["6.bias"];
  bias.copy_(bias.flip(0));
  EXPECT_NE(flat.state.hash(), hash);
  bias.copy_(bias.flip(0));
  EXPECT_EQ(flat.state.hash(), hash);
  *reinterpret_cast<uint32_t*>(bias.data_ptr<float>()) ^= 1;
  EXPECT_NE(flat.state.hash(), hash);
}

}  // namespace
}  // namespace cifar

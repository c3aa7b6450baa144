// A convolution block as an operation of autograd, against LibTorch's operators in float64 and
// float32.
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"
#include "kernels_reference.h"
#include "model/block.h"
#include "model/conv_block.h"
#include "model/network.h"
#include "model_inputs.h"
#include "trainable.h"

namespace cifar {
namespace {

using testing::HasSubstr;

constexpr auto kOrder = at::MemoryFormat::ChannelsLast;

struct Tensors {
  torch::Tensor input, weight, bias;

  static Tensors random(const ConvBlock& b, int64_t images, bool with_bias) {
    torch::manual_seed(b.height * 100 + b.in_channels);
    Tensors all;
    all.input = torch::randn({images, b.in_channels, b.height, b.width}).contiguous(kOrder);
    all.weight = (torch::randn({b.out_channels, b.in_channels, b.kernel, b.kernel}) /
                  std::sqrt(static_cast<double>(b.kernel * b.patch_row())))
                     .contiguous(kOrder);
    if (with_bias) all.bias = torch::randn({b.out_channels}) * 0.1;
    return all;
  }

  Tensors leaves(torch::ScalarType type) const {
    const auto leaf = [&](const torch::Tensor& t) {
      return t.defined() ? t.to(type).detach().clone().requires_grad_(true) : t;
    };
    return {leaf(input), leaf(weight), leaf(bias)};
  }
};

torch::Tensor run_kernels(const ConvBlock& b, const Tensors& t) {
  const auto block = std::make_shared<Block>();
  block->shape = b;
  block->weight = t.weight;
  block->bias = t.bias;
  return run_blocks({block}, t.input, kTraining);
}

torch::Tensor run_libtorch(const ConvBlock& b, const Tensors& t) {
  auto x = torch::conv2d(t.input, t.weight, t.bias, b.stride, b.padding);
  if (b.pool > 1) x = torch::max_pool2d(x, b.pool, b.pool_stride);
  return b.relu ? torch::relu(x) : x;
}

// Output, then the gradients of input, weight and, if there is one, bias.
template <class Forward>
std::vector<torch::Tensor> results(const Forward& forward, const ConvBlock& block,
                                   const Tensors& given, torch::ScalarType type) {
  const Tensors leaves = given.leaves(type);
  const auto output = forward(block, leaves);
  torch::manual_seed(1);
  output.backward(torch::randn(output.sizes()).to(type));
  std::vector<torch::Tensor> all = {output.detach(), leaves.input.grad(), leaves.weight.grad()};
  if (leaves.bias.defined()) all.push_back(leaves.bias.grad());
  return all;
}

double error(const torch::Tensor& found, const torch::Tensor& expected) {
  return (found.to(torch::kFloat64) - expected).norm().item<double>() /
         std::max(1e-3, expected.norm().item<double>());
}

// Over many blocks, the error against float64 is no larger than LibTorch's own by more than a
// little (1.01 times on AVX2). A single block may lose where rounding gives a window to another of
// two nearly equal outputs.
TEST(ConvBlock, IsAsNearToFloat64AsLibTorch) {
  RandomBlocks random;
  double ours = 0, theirs = 0;
  for (int i = 0; i < 60; ++i) {
    const ConvBlock block = random.next();
    SCOPED_TRACE(describe(block));
    const auto given = Tensors::random(block, 3, i % 3 > 0);
    const auto expected = results(run_libtorch, block, given, torch::kFloat64);
    const auto found = results(run_kernels, block, given, torch::kFloat32);
    const auto libtorch = results(run_libtorch, block, given, torch::kFloat32);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t k = 0; k < found.size(); ++k) {
      EXPECT_EQ(found[k].sizes(), expected[k].sizes());
      EXPECT_LT(error(found[k], expected[k]), 2e-6) << "result " << k;
      ours += error(found[k], expected[k]);
      theirs += error(libtorch[k], expected[k]);
    }
  }
  EXPECT_LT(ours, 1.5 * theirs);
}

// Without a pool, which might choose another of two nearly equal outputs: rounding alone.
TEST(ConvBlock, BoundsTheErrorOfWinogradsMethod) {
  for (const int64_t channels : {16, 32, 64, 256}) {
    const ConvBlock block{channels, 14, 13, 24, 3, 1, 1, 1, 1, false};
    ASSERT_TRUE(uses_winograd(block));
    Tensors given = Tensors::random(block, 4, true);
    given.input = torch::relu(given.input);
    const auto expected = run_libtorch(block, given.leaves(torch::kFloat64)).detach();
    const double ours = error(run_kernels(block, given), expected);
    const double theirs = error(run_libtorch(block, given), expected);
    EXPECT_LT(ours, (channels < 32 ? 2.5 : 1.6) * theirs) << channels << " channels: " << ours;
  }
}

TEST(ConvBlock, GivesTheSameBitsOnOneAndTwoThreads) {
  const ConvBlock block{16, 8, 8, 24, 3, 1, 1, 2, 2, true};
  const auto given = Tensors::random(block, 70, true);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = results(run_kernels, block, given, torch::kFloat32);
  at::set_num_threads(2);
  const auto two = results(run_kernels, block, given, torch::kFloat32);
  at::set_num_threads(before);
  for (size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(torch::equal(one[k], two[k])) << k;
}

TEST(ConvBlock, TakesBothMemoryOrdersAndAnEmptyBatch) {
  const ConvBlock block{4, 6, 6, 8, 3, 1, 1, 2, 2, true};
  const auto given = Tensors::random(block, 2, true);
  Tensors contiguous = given;
  contiguous.input = given.input.contiguous();
  contiguous.weight = given.weight.contiguous();
  const auto one = results(run_kernels, block, given, torch::kFloat32);
  const auto two = results(run_kernels, block, contiguous, torch::kFloat32);
  for (size_t k = 0; k < one.size(); ++k) EXPECT_TRUE(torch::equal(one[k], two[k])) << k;

  Tensors empty = given;
  empty.input = torch::empty({0, 4, 6, 6});
  const auto none = results(run_kernels, block, empty, torch::kFloat32);
  EXPECT_EQ(none[0].sizes(), (std::vector<int64_t>{0, 8, 3, 3}));
  EXPECT_TRUE(torch::equal(none[2], torch::zeros_like(given.weight)));
}

TEST(ConvBlock, ComputesNoGradientThatNobodyAsksFor) {
  const ConvBlock block{3, 8, 8, 8, 3, 1, 1, 2, 2, true};
  auto given = Tensors::random(block, 2, true);
  EXPECT_FALSE(run_kernels(block, given).requires_grad());
  given.weight.requires_grad_(true);
  run_kernels(block, given).sum().backward();
  EXPECT_TRUE(given.weight.grad().defined());
  EXPECT_FALSE(given.input.grad().defined());
  const torch::NoGradGuard no_grad;
  EXPECT_FALSE(run_kernels(block, given).requires_grad());
}

std::vector<std::vector<std::string>> networks() {
  return {
      article_config().model.layers,
      {"conv 8", "pool max 2", "relu", "conv 8", "relu", "pool max 3 stride 2", "flatten",
       "linear 10"},
      {"conv 8", "relu", "conv 8", "relu", "pool average 2", "flatten", "linear 10"},
      {"conv 8 kernel 5 no-bias", "batch-norm", "relu", "pool max 2", "flatten", "linear 10"},
      {"conv 8 stride 2", "relu", "relu", "pool max all", "flatten", "linear 10"},
      {"whiten 2", "gelu", "conv 32 no-bias dirac", "pool max 2", "batch-norm no-scale", "gelu",
       "conv 16", "pool max 2", "residual", "conv 16", "relu", "add", "flatten", "linear 10"},
      {"whiten 3", "pool max 2", "relu", "flatten", "linear 10 no-bias unit-std", "scale 1/4"},
      {"conv 4 kernel 7", "relu", "pool max 2", "pool max 2", "flatten", "linear 10"},
      {"conv 8", "relu", "pool max 4", "flatten", "linear 100", "relu", "linear 100", "linear 10"},
  };
}

TEST(ConvBlock, ANetworkComputesTheSameWithAndWithoutTheKernels) {
  torch::manual_seed(3);
  const auto images = torch::rand({20, 3, 32, 32}).contiguous(kOrder);
  for (const auto& layers : networks()) {
    SCOPED_TRACE(testing::PrintToString(layers));
    std::vector<torch::Tensor> outputs;
    std::vector<std::vector<torch::Tensor>> gradients;
    for (const Kernels kernels : {Kernels::kAuto, Kernels::kLibTorch}) {
      Network network(layers, kImage, 10, 42, kernels);
      outputs.push_back(network.forward(images, kTraining));
      gradients.push_back(gradients_of(outputs.back().square().sum(), network));
    }
    EXPECT_LT(error(outputs[0], outputs[1].to(torch::kFloat64)), 1e-5);
    for (size_t k = 0; k < gradients[0].size(); ++k) {
      EXPECT_LT(error(gradients[0][k], gradients[1][k].to(torch::kFloat64)), 1e-4) << k;
    }
  }
}

TEST(ConvBlock, TheTableSaysWhatComputesALayer) {
  const auto layers = article_config().model.layers;
  EXPECT_THAT(Network(layers, kImage, 10, 1).table(), HasSubstr("kernels, Winograd"));
  EXPECT_THAT(Network(layers, kImage, 10, 1, Kernels::kLibTorch).table(),
              testing::Not(HasSubstr("kernels")));
}

TEST(ConvBlock, IsLeftToLibTorchWhereThatIsFaster) {
  const ConvBlock pooled{3, 32, 32, 32, 3, 1, 1, 2, 2, true}, halved{32, 16, 16, 64};
  EXPECT_TRUE(kernels_pay(pooled));
  EXPECT_TRUE(kernels_pay(halved));
  ConvBlock bare = halved, first = halved, dense = pooled;
  bare.relu = false;
  first.in_channels = 3;
  dense.pool_stride = 1;
  for (const ConvBlock& block : {bare, first, dense}) EXPECT_FALSE(kernels_pay(block));
  ConvBlock pooled_alone = pooled;
  pooled_alone.relu = false;
  EXPECT_TRUE(kernels_pay(pooled_alone));
}

TEST(ConvBlock, OtherTypesGoToLibTorch) {
  Network network(article_config().model.layers, kImage, 10, 1);
  network.to(torch::kFloat64);
  const auto images = torch::rand({2, 3, 32, 32}, torch::kFloat64);
  EXPECT_EQ(network.forward(images, kTraining).scalar_type(), torch::kFloat64);
}

}  // namespace
}  // namespace cifar

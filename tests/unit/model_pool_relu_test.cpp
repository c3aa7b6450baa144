#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>

#include "model/pool_relu.h"

namespace cifar {
namespace {

struct Result {
  torch::Tensor output, gradient;
};

// Forward, then backward with a gradient that tells every output apart.
template <typename Function>
Result run(const Function& function, const torch::Tensor& values) {
  const auto input = values.clone().requires_grad_(true);
  const auto output = function(input);
  const auto seed = torch::arange(1, output.numel() + 1, torch::kFloat32).view_as(output);
  output.backward(seed);
  return {output.detach(), input.grad()};
}

// LibTorch's two operators are the independent source.
void expect_same_bits(const torch::Tensor& values, int64_t kernel) {
  const Result ours = run([&](const auto& x) { return pool_relu(x, kernel); }, values);
  const Result theirs =
      run([&](const auto& x) { return torch::relu(torch::max_pool2d(x, kernel)); }, values);
  EXPECT_TRUE(torch::allclose(ours.output, theirs.output, 0, 0, /*equal_nan=*/true));
  EXPECT_TRUE(torch::equal(ours.gradient, theirs.gradient));
}

torch::Tensor image(int64_t batch, int64_t channels, int64_t height, int64_t width) {
  torch::manual_seed(batch + channels + height);
  return torch::randn({batch, channels, height, width});
}

TEST(PoolRelu, EqualsTheTwoOperatorsOnAnyShape) {
  for (const int64_t channels : {1, 3, 16, 17, 40}) {
    for (const int64_t kernel : {2, 3, 4}) {
      expect_same_bits(image(3, channels, 2 * kernel, 5 * kernel), kernel);
    }
  }
}

TEST(PoolRelu, TakesBothMemoryOrders) {
  const auto values = image(2, 8, 8, 8);
  expect_same_bits(values.contiguous(), 2);
  expect_same_bits(values.contiguous(at::MemoryFormat::ChannelsLast), 2);
}

TEST(PoolRelu, GivesTiesToTheFirstAndNothingToNegativeWindows) {
  expect_same_bits(torch::ones({1, 16, 4, 4}), 2);
  expect_same_bits(-torch::ones({1, 16, 4, 4}), 2);
  expect_same_bits(torch::zeros({1, 16, 4, 4}), 2);
}

TEST(PoolRelu, PassesNanOn) {
  auto values = image(1, 4, 4, 4);
  values[0][1][1][1] = std::nanf("");
  values[0][2].fill_(std::nanf(""));
  const auto output = pool_relu(values, 2);
  EXPECT_TRUE(output[0][1][0][0].isnan().item<bool>());
  EXPECT_TRUE(output[0][2].isnan().all().item<bool>());
  EXPECT_FALSE(output[0][0].isnan().any().item<bool>());
}

TEST(PoolRelu, TakesAnEmptyBatch) {
  EXPECT_EQ(pool_relu(torch::empty({0, 4, 4, 4}), 2).sizes(), (std::vector<int64_t>{0, 4, 2, 2}));
}

TEST(PoolRelu, LeavesOtherWindowsAndTypesToLibTorch) {
  const auto values = image(1, 4, 6, 6);
  EXPECT_TRUE(can_pool_relu(values, 2, 2));
  EXPECT_TRUE(can_pool_relu(values, 3, 3));
  EXPECT_FALSE(can_pool_relu(values, 3, 2));
  EXPECT_FALSE(can_pool_relu(values, 4, 4));
  EXPECT_FALSE(can_pool_relu(values.to(torch::kBFloat16), 2, 2));
}

}  // namespace
}  // namespace cifar

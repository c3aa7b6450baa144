// Cross-entropy against LibTorch's, and its gradient against autograd's.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "train/loss.h"

namespace cifar {
namespace {

struct Result {
  torch::Tensor gradient;
  torch::Tensor metrics = torch::zeros({4});
};

Result run(const torch::Tensor& logits, const torch::Tensor& labels, const CrossEntropy& terms) {
  Result result;
  result.gradient = cross_entropy(logits, labels, terms, result.metrics);
  return result;
}

Result run(const torch::Tensor& logits, const torch::Tensor& labels, double scale) {
  return run(logits, labels, {scale, scale});
}

TEST(CrossEntropy, IsLibTorchs) {
  torch::manual_seed(1);
  for (const double spread : {0.01, 1.0, 30.0, 1000.0}) {
    const auto logits = torch::randn({37, 10}).mul_(spread).requires_grad_();
    const auto labels = torch::randint(10, {37}, torch::kInt64);
    const auto loss =
        torch::cross_entropy_loss(logits.to(torch::kFloat64), labels, {}, at::Reduction::Sum) / 64;
    loss.backward();
    const Result found = run(logits, labels, 1.0 / 64);
    EXPECT_NEAR(found.metrics[0].item<double>(), loss.item<double>(),
                1e-6 * std::max(1.0, loss.item<double>()));
    EXPECT_TRUE(torch::allclose(found.gradient, logits.grad(), 1e-5, 1e-8)) << spread;
    EXPECT_EQ(found.metrics[1].item<float>(), logits.argmax(1).eq(labels).sum().item<float>());
  }
}

TEST(CrossEntropy, SmoothsLabelsAsLibTorchDoes) {
  torch::manual_seed(2);
  for (const double smoothing : {0.09, 0.2, 0.999}) {
    for (const double spread : {0.01, 1.0, 30.0}) {
      const auto logits = torch::randn({37, 10}).mul_(spread).requires_grad_();
      const auto labels = torch::randint(10, {37}, torch::kInt64);
      const auto loss = torch::cross_entropy_loss(logits.to(torch::kFloat64), labels, {},
                                                  at::Reduction::Sum, -100, smoothing) /
                        64;
      loss.backward();
      const Result found = run(logits, labels, {1.0 / 64, 1.0 / 64, smoothing});
      EXPECT_NEAR(found.metrics[0].item<double>(), loss.item<double>(),
                  1e-6 * std::max(1.0, loss.item<double>()));
      EXPECT_TRUE(torch::allclose(found.gradient, logits.grad(), 1e-5, 1e-8))
          << smoothing << " " << spread;
      EXPECT_EQ(found.metrics[1].item<float>(), logits.argmax(1).eq(labels).sum().item<float>());
    }
  }
}

TEST(CrossEntropy, ScalesLossAndGradientApart) {
  torch::manual_seed(3);
  const auto logits = torch::randn({16, 10});
  const auto labels = torch::randint(10, {16}, torch::kInt64);
  const Result mean = run(logits, labels, {1.0 / 16, 1.0 / 16, 0.2});
  const Result sum = run(logits, labels, {1.0 / 16, 1, 0.2});
  EXPECT_TRUE(torch::equal(sum.metrics, mean.metrics));
  EXPECT_TRUE(torch::allclose(sum.gradient, mean.gradient * 16, 1e-6, 1e-7));
}

TEST(CrossEntropy, AddsToTheMetrics) {
  const auto logits = torch::tensor({{2.0f, 0.0f}, {0.0f, 2.0f}});
  const auto labels = torch::tensor({0, 0}, torch::kInt64);
  Result result;
  for (int i = 0; i < 2; ++i) cross_entropy(logits, labels, {0.5, 0.5}, result.metrics);
  const double right = std::log1p(std::exp(-2.0));
  EXPECT_NEAR(result.metrics[0].item<double>(), right + (right + 2), 1e-6);
  EXPECT_EQ(result.metrics[1].item<float>(), 2);
}

TEST(CrossEntropy, GivesATieToTheFirst) {
  const auto logits = torch::tensor({{1.0f, 1.0f, 0.0f}});
  EXPECT_EQ(run(logits, torch::tensor({0}, torch::kInt64), 1).metrics[1].item<float>(), 1);
  EXPECT_EQ(run(logits, torch::tensor({1}, torch::kInt64), 1).metrics[1].item<float>(), 0);
}

TEST(CrossEntropy, PassesNotANumberOn) {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const auto logits = torch::tensor({{0.0f, value, 1.0f}});
    const Result found = run(logits, torch::tensor({0}, torch::kInt64), 1);
    EXPECT_FALSE(std::isfinite(found.metrics[0].item<float>())) << value;
  }
}

TEST(CrossEntropy, AClassThatIsRuledOutCostsNothing) {
  const auto logits = torch::tensor({{0.0f, -std::numeric_limits<float>::infinity(), 0.0f}});
  const Result found = run(logits, torch::tensor({0}, torch::kInt64), 1);
  EXPECT_FLOAT_EQ(found.metrics[0].item<float>(), std::log(2.0f));
  EXPECT_TRUE(torch::allclose(found.gradient, torch::tensor({{-0.5f, 0.0f, 0.5f}})));
}

TEST(CrossEntropy, TakesLogitsOfABfloat16Network) {
  const auto logits = torch::randn({5, 10}).to(torch::kBFloat16);
  const auto labels = torch::zeros({5}, torch::kInt64);
  const Result found = run(logits, labels, 1);
  EXPECT_EQ(found.gradient.scalar_type(), torch::kBFloat16);
  const Result wide = run(logits.to(torch::kFloat32), labels, 1);
  EXPECT_TRUE(torch::equal(found.metrics, wide.metrics));
  EXPECT_TRUE(torch::equal(found.gradient, wide.gradient.to(torch::kBFloat16)));
}

TEST(CrossEntropy, OfNoSampleIsNothing) {
  const Result found = run(torch::empty({0, 10}), torch::empty({0}, torch::kInt64), 1);
  EXPECT_EQ(found.gradient.numel(), 0);
  EXPECT_EQ(found.metrics.abs().sum().item<float>(), 0);
}

}  // namespace
}  // namespace cifar

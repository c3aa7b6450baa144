// The layers beyond the article's, forward and backward in both memory orders, against closed forms
// and LibTorch's operators in float64, and their initial values against torch::nn's modules.
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "model/layer.h"
#include "model_inputs.h"
#include "refusal.h"
#include "trainable.h"

namespace cifar {
namespace {

void expect_near(const torch::Tensor& found, const torch::Tensor& expected, double tolerance) {
  ASSERT_EQ(found.sizes(), expected.sizes());
  const double error = (found.to(torch::kFloat64) - expected).abs().max().item<double>();
  EXPECT_LE(error, tolerance * (1 + expected.abs().max().item<double>()));
}

// Output, then the gradients of the input and of what trains, for a given gradient of the output.
std::vector<torch::Tensor> results(Layer& layer, const torch::Tensor& given,
                                   const torch::Tensor& gradient) {
  const auto input = given.detach().clone().requires_grad_(true);
  std::vector<torch::Tensor> leaves = {input};
  for (const auto& parameter : trainable(layer)) leaves.push_back(parameter);
  const auto output = layer.forward(input, kTraining);
  std::vector<torch::Tensor> all = {output.detach()};
  for (const auto& each : torch::autograd::grad({output}, leaves, {gradient})) all.push_back(each);
  return all;
}

torch::Tensor in_order(const torch::Tensor& tensor, at::MemoryFormat order) {
  return tensor.dim() == 4 ? tensor.contiguous(order) : tensor;
}

// `expected` gives the output in float64 from the input and the layer's parameters.
using Formula = std::function<torch::Tensor(const torch::Tensor&, const Layer&)>;

void expect_values(const std::string& text, const Shape& shape, const Formula& formula) {
  torch::manual_seed(5);
  const auto layer = make_layer(text, 0, shape);
  const torch::Tensor given = shape.flat
                                  ? torch::randn({4, shape.channels})
                                  : torch::randn({4, shape.channels, shape.height, shape.width});
  const auto wide = given.to(torch::kFloat64).requires_grad_(true);
  const auto output = formula(wide, *layer);
  const auto gradient = torch::randn(output.sizes());
  std::vector<torch::Tensor> leaves = {wide};
  for (const auto& parameter : trainable(*layer)) leaves.push_back(parameter);
  const auto gradients = torch::autograd::grad({output}, leaves, {gradient.to(torch::kFloat64)});

  for (const auto order : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    SCOPED_TRACE(testing::Message() << text << ", " << order);
    const auto found = results(*layer, in_order(given, order), in_order(gradient, order));
    expect_near(found[0], output, 2e-6);
    ASSERT_EQ(found.size(), 1 + gradients.size());
    for (size_t i = 0; i < gradients.size(); ++i) expect_near(found[1 + i], gradients[i], 5e-6);
    EXPECT_TRUE(shape.flat || found[0].is_contiguous(order));
  }
}

torch::Tensor wide(const Layer& layer, const std::string& name) {
  return layer.named_parameters()[name].to(torch::kFloat64);
}

const Shape kOddImage{6, 5, 7}, kOddFlat{11, 1, 1, true};

TEST(Gelu, IsTheInputTimesTheNormalDistributionFunction) {
  for (const Shape& shape : {kOddImage, kOddFlat}) {
    expect_values("gelu", shape, [](const torch::Tensor& x, const Layer&) {
      return x * 0.5 * (1 + torch::erf(x / std::sqrt(2.0)));
    });
  }
}

TEST(Silu, IsTheInputTimesItsSigmoid) {
  for (const Shape& shape : {kOddImage, kOddFlat}) {
    expect_values("silu", shape,
                  [](const torch::Tensor& x, const Layer&) { return x / (1 + torch::exp(-x)); });
  }
}

TEST(Scale, Multiplies) {
  const std::vector<std::pair<std::string, double>> factors = {
      {"1/256", 0.00390625}, {"0.5", 0.5}, {"-3", -3}, {"1e-1", 0.1}, {"-1.5/0.5", -3}};
  for (const Shape& shape : {kOddImage, kOddFlat}) {
    for (const auto& [text, factor] : factors) {
      expect_values("scale " + text, shape,
                    [&](const torch::Tensor& x, const Layer&) { return x * factor; });
    }
  }
}

TEST(BatchNorm, WithoutScaleTrainsItsBiasAlone) {
  expect_values(
      "batch-norm no-scale epsilon 1e-3", kOddImage,
      [](const torch::Tensor& x, const Layer& layer) {
        const auto mean = x.mean({0, 2, 3}, true);
        const auto variance = (x - mean).square().mean({0, 2, 3}, true);
        return (x - mean) / (variance + 1e-3).sqrt() + wide(layer, "bias").view({1, -1, 1, 1});
      });
  const auto layer = make_layer("batch-norm momentum 0.4 no-scale epsilon 1e-12", 0, kOddImage);
  const auto weight = layer->named_parameters()["weight"];
  EXPECT_FALSE(weight.requires_grad());
  EXPECT_TRUE(torch::equal(weight, torch::ones({6})));
  EXPECT_TRUE(layer->named_parameters()["bias"].requires_grad());
}

TEST(Whiten, IsAConvolutionOfWhichTheBiasTrains) {
  for (const int64_t kernel : {1, 2, 3}) {
    expect_values("whiten " + std::to_string(kernel), kOddImage,
                  [](const torch::Tensor& x, const Layer& layer) {
                    return torch::conv2d(x, wide(layer, "weight"), wide(layer, "bias"));
                  });
  }
  const auto layer = make_layer("whiten 2 epsilon 0.25 images 30", 0, kOddImage);
  EXPECT_EQ(trainable(*layer).size(), 1u);
  EXPECT_TRUE(layer->named_parameters()["bias"].requires_grad());
  ASSERT_TRUE(layer->whitening().has_value());
  EXPECT_TRUE(layer->whitening()->weight.is_same(layer->named_parameters()["weight"]));
  EXPECT_EQ(layer->whitening()->images, 30);
  EXPECT_EQ(layer->whitening()->epsilon, 0.25);
  EXPECT_EQ(make_layer("whiten 2", 0, kOddImage)->whitening()->images, 5000);
  EXPECT_EQ(make_layer("whiten 2", 0, kOddImage)->whitening()->epsilon, 5e-4);
  EXPECT_FALSE(make_layer("conv 48", 0, kOddImage)->whitening().has_value());
}

TEST(Whiten, RefusesAWrongLine) {
  const Shape kThree{3, 32, 32};
  const auto message = [](const std::string& text, const Shape& input) {
    return refusal(ExitCode::kUsage, [&] { make_layer(text, 0, input); });
  };
  EXPECT_EQ(message("whiten", kThree),
            "layer 0 (\"whiten\"): nothing after the name; expected the size of the kernel");
  EXPECT_EQ(message("whiten 0", kThree),
            "layer 0 (\"whiten 0\"): \"0\"; expected the size of the kernel, an integer from "
            "1 to 1048576");
  EXPECT_EQ(
      message("whiten 2 images 0", kThree),
      "layer 0 (\"whiten 2 images 0\"): \"0\"; expected images, an integer from 1 to 1048576");
  EXPECT_EQ(message("whiten 2 epsilon 0", kThree),
            "layer 0 (\"whiten 2 epsilon 0\"): epsilon 0; expected a number above 0");
  EXPECT_EQ(message("whiten 33", kThree),
            "layer 0 (\"whiten 33\"): a window of 33x33 on an input of 3x32x32; expected a window "
            "that fits");
  EXPECT_EQ(message("whiten 2 no-bias", kThree),
            "layer 0 (\"whiten 2 no-bias\"): \"no-bias\"; expected the end of the layer");
  EXPECT_EQ(message("whiten 2", kOddFlat),
            "layer 0 (\"whiten 2\"): a flat input of 11; expected an image");
}

std::shared_ptr<Layer> seeded(const std::string& text, const Shape& shape) {
  torch::manual_seed(9);
  return make_layer(text, 0, shape);
}

torch::nn::Conv2d seeded_conv(int64_t in, int64_t out, int64_t kernel, bool bias) {
  torch::manual_seed(9);
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).bias(bias));
}

TEST(Whiten, BeginsAsAConvolution) {
  const auto found = seeded("whiten 2", kOddImage)->parameters();
  const auto expected = seeded_conv(6, 48, 2, true)->parameters();
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 2; ++i) EXPECT_TRUE(torch::equal(found[i], expected[i])) << i;
}

// Beside the identity, the values of nn.Conv2d.
TEST(Conv, DiracBeginsWithTheIdentity) {
  for (const int64_t kernel : {1, 2, 3, 5}) {
    for (const int64_t out : {4, 6, 10}) {
      SCOPED_TRACE(testing::Message() << kernel << " " << out);
      const auto size = std::to_string(out), side = std::to_string(kernel);
      const auto layer = seeded("conv " + size + " dirac no-bias kernel " + side, kOddImage);
      const auto weight = layer->named_parameters()["weight"].detach();
      const auto plain = seeded_conv(6, out, kernel, false)->weight.detach();
      const int64_t filters = std::min<int64_t>(out, 6), centre = kernel / 2;
      EXPECT_TRUE(torch::equal(weight.narrow(0, filters, out - filters),
                               plain.narrow(0, filters, out - filters)));
      auto identity = torch::zeros({filters, 6, kernel, kernel});
      for (int64_t i = 0; i < filters; ++i) identity[i][i][centre][centre] = 1;
      EXPECT_TRUE(torch::equal(weight.narrow(0, 0, filters), identity));
      EXPECT_EQ(layer->parameters().size(), 1u);
      EXPECT_TRUE(layer->parameters()[0].requires_grad());
    }
  }
}

TEST(Conv, DiracPassesItsInputOn) {
  const auto layer = seeded("conv 9 no-bias dirac", kOddImage);
  const auto input = torch::randn({2, 6, 5, 7});
  EXPECT_TRUE(torch::equal(layer->forward(input, kTraining).narrow(1, 0, 6), input));
}

TEST(Conv, DiracLeavesTheBiasToNnConv2d) {
  const auto found = seeded("conv 9 dirac", kOddImage)->named_parameters()["bias"];
  EXPECT_TRUE(torch::equal(found, seeded_conv(6, 9, 3, true)->bias));
}

TEST(Linear, UnitStdDividesTheWeightByItsDeviation) {
  const auto found = seeded("linear 10 no-bias unit-std", kOddFlat)->named_parameters();
  torch::manual_seed(9);
  const torch::nn::Linear plain(torch::nn::LinearOptions(11, 10).bias(false));
  const auto weight = plain->weight.detach().to(torch::kFloat64);
  const double mean = weight.mean().item<double>();
  const double deviation =
      std::sqrt((weight - mean).square().sum().item<double>() / (weight.numel() - 1));
  ASSERT_EQ(found.size(), 1u);
  expect_near(found["weight"].detach(), weight / deviation, 1e-6);
  EXPECT_TRUE(found["weight"].requires_grad());
}

TEST(Linear, UnitStdLeavesTheBiasToNnLinear) {
  const auto found = seeded("linear 10 unit-std", kOddFlat)->named_parameters()["bias"];
  torch::manual_seed(9);
  EXPECT_TRUE(torch::equal(found, torch::nn::Linear(11, 10)->bias));
}

}  // namespace
}  // namespace cifar

// Residual blocks against the same sums written by hand, and what a list of them may get wrong.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "model/network.h"
#include "model_inputs.h"
#include "refusal.h"
#include "trainable.h"

namespace cifar {
namespace {

using Lines = std::vector<std::string>;

std::unique_ptr<Network> network_of(const Lines& lines, Kernels kernels = Kernels::kLibTorch) {
  return std::make_unique<Network>(lines, kImage, 10, 42, kernels);
}

// A block in a block; layer 9 is between the two sums.
const Lines kNested = {
    "conv 8 stride 2", "residual", "conv 8",   "batch-norm",     "residual", "silu",
    "conv 8",          "add",      "relu",     "conv 8 no-bias", "add",      "relu",
    "pool max 2",      "flatten",  "linear 10"};

torch::Tensor by_hand(const Network& network, const torch::Tensor& images) {
  const auto all = network.named_parameters();
  const auto conv = [&](const torch::Tensor& x, const std::string& layer, int64_t stride = 1) {
    const auto bias = all.contains(layer + ".bias") ? all[layer + ".bias"] : torch::Tensor();
    return torch::conv2d(x, all[layer + ".weight"], bias, stride, 1);
  };
  const auto kept = conv(images, "0", 2);
  const auto norm = torch::batch_norm(conv(kept, "2"), all["3.weight"], all["3.bias"], {}, {}, true,
                                      0.1, 1e-5, true);
  const auto inner = norm + conv(torch::silu(norm), "6");
  const auto outer = torch::relu(kept + conv(torch::relu(inner), "9"));
  return torch::linear(torch::max_pool2d(outer, 2).flatten(1), all["14.weight"], all["14.bias"]);
}

void expect_near(const torch::Tensor& found, const torch::Tensor& expected) {
  const double error = (found - expected).norm().item<double>();
  EXPECT_LE(error, 2e-5 * expected.norm().item<double>());
}

TEST(Residual, AddsWhatStoodBeforeIt) {
  for (const auto order : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
    for (const Kernels kernels : {Kernels::kLibTorch, Kernels::kAuto}) {
      const auto network = network_of(kNested, kernels);
      torch::manual_seed(3);
      const auto images = torch::randn({6, 3, 32, 32}).contiguous(order);
      const auto found = network->forward(images, kTraining), expected = by_hand(*network, images);
      expect_near(found, expected);
      const auto gradients = gradients_of(found.square().sum(), *network);
      const auto wanted = gradients_of(expected.square().sum(), *network);
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (i == 3) continue;  // 2.bias: batch-norm takes it out, up to rounding
        SCOPED_TRACE(i);
        expect_near(gradients[i], wanted[i]);
      }
    }
  }
}

TEST(Residual, AnEmptyBranchDoubles) {
  const auto plain = network_of({"flatten", "linear 10"});
  const auto doubled = network_of({"residual", "add", "flatten", "linear 10"});
  const auto images = torch::rand({2, 3, 32, 32});
  const auto weights = doubled->named_parameters();
  EXPECT_TRUE(
      torch::equal(doubled->forward(images, kTraining),
                   torch::linear((2 * images).flatten(1), weights["3.weight"], weights["3.bias"])));
  EXPECT_TRUE(torch::equal(weights["3.weight"], plain->named_parameters()["1.weight"]));
}

TEST(Residual, TakesFlatInput) {
  const auto network = network_of({"flatten", "linear 10", "residual", "linear 10", "add"});
  const auto all = network->named_parameters();
  const auto images = torch::rand({2, 3, 32, 32});
  const auto kept = torch::linear(images.flatten(1), all["1.weight"], all["1.bias"]);
  expect_near(network->forward(images, kTraining),
              kept + torch::linear(kept, all["3.weight"], all["3.bias"]));
}

// The article's order of drawing: brackets draw nothing and names count them.
TEST(Residual, StepsNestAsTheListDoes) {
  const auto network = network_of(kNested);
  const auto& steps = network->steps();
  ASSERT_EQ(steps.size(), 5u);  // relu and max-pool are one
  const Network::Step& outer = steps[1];
  EXPECT_TRUE(outer.layers.empty());
  ASSERT_EQ(outer.branch.size(), 5u);
  EXPECT_EQ(outer.branch[2].branch.size(), 2u);
  EXPECT_EQ(outer.text,
            "residual, conv 8, batch-norm, residual, silu, conv 8, add, relu, conv 8 no-bias, add");
  const int64_t conv = 16 * 16 * 8 * 8 * 9;
  EXPECT_EQ(outer.multiply_adds(), 3 * conv);
  EXPECT_EQ(network->multiply_adds(), 3 * conv + 16 * 16 * 8 * 27 + 10 * 8 * 64);
}

TEST(Residual, TheTableIndentsTheBranch) {
  const std::string table = network_of(kNested)->table();
  for (const std::string line : {"  1  residual ", "  2    conv 8 ", "  4    residual ",
                                 "  5      silu ", "  7    add ", " 10  add "}) {
    EXPECT_NE(table.find("\n" + line), std::string::npos) << line << " in\n" << table;
  }
}

TEST(Residual, RefusesWhatDoesNotPair) {
  const auto message = [](const Lines& lines) {
    return refusal(ExitCode::kUsage, [&] { network_of(lines); });
  };
  EXPECT_EQ(message({"conv 4", "add", "flatten", "linear 10"}),
            "layer 1 (\"add\"): no residual block is open; expected \"residual\" before it");
  EXPECT_EQ(message({"residual", "add", "add", "flatten", "linear 10"}),
            "layer 2 (\"add\"): no residual block is open; expected \"residual\" before it");
  EXPECT_EQ(message({"residual", "conv 3", "flatten", "linear 10"}),
            "layer 0 (\"residual\"): its branch does not end; expected \"add\" behind it");
  EXPECT_EQ(message({"residual", "residual", "add", "flatten", "linear 10"}),
            "layer 0 (\"residual\"): its branch does not end; expected \"add\" behind it");
  EXPECT_EQ(message({"residual 2", "add", "flatten", "linear 10"}),
            "layer 0 (\"residual 2\"): \"2\"; expected the end of the layer");
  EXPECT_EQ(message({"residual", "add 1", "flatten", "linear 10"}),
            "layer 1 (\"add 1\"): \"1\"; expected the end of the layer");
}

TEST(Residual, RefusesShapesThatDoNotAddUp) {
  const auto message = [](const Lines& lines) {
    return refusal(ExitCode::kUsage, [&] { network_of(lines); });
  };
  EXPECT_EQ(message({"conv 64 stride 2", "residual", "conv 256", "pool max 2", "add"}),
            "layer 4 (\"add\"): 256x8x8 onto 64x16x16; expected equal shapes");
  EXPECT_EQ(message({"residual", "flatten", "add"}),
            "layer 2 (\"add\"): 3072 onto 3x32x32; expected equal shapes");
  // The inner block's shape, then the outer's.
  EXPECT_EQ(message({"residual", "conv 4", "residual", "conv 5", "add", "add"}),
            "layer 4 (\"add\"): 5x32x32 onto 4x32x32; expected equal shapes");
  EXPECT_EQ(message({"residual", "conv 4", "residual", "conv 4", "add", "add"}),
            "layer 5 (\"add\"): 4x32x32 onto 3x32x32; expected equal shapes");
}

}  // namespace
}  // namespace cifar

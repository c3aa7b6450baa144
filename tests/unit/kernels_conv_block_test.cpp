// The kernels against plain loops in double precision, on every instruction set of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels_reference.h"
#include "kernels_targets.h"

namespace cifar {
namespace {

struct Outcome {
  Floats output, input_gradient, weight_gradient, bias_gradient;
  std::vector<uint8_t> winners;
};

struct Case {
  ConvBlock block;
  int64_t images;
  Floats input, weights, bias, gradients;

  Case(RandomBlocks& random, const ConvBlock& of, int64_t count = 2)
      : block(of),
        images(count),
        input(random.values(images * of.input_size())),
        weights(random.values(of.weight_size(), 1 / std::sqrt(of.kernel * of.patch_row()))),
        bias(random.values(of.out_channels, 0.1)),
        gradients(random.values(images * of.output_size())) {}

  Outcome run(bool with_bias = true, bool with_input = true) const {
    Outcome result;
    result.output.resize(gradients.size());
    result.winners.resize(gradients.size());
    Floats packed(static_cast<size_t>(packed_weights_size(block)));
    pack_weights(block, Floats(weights.size(), 7).data(), packed.data());  // an earlier result
    pack_weights(block, weights.data(), packed.data());
    conv_block_forward(block, images, input.data(), packed.data(),
                       with_bias ? bias.data() : nullptr, result.output.data(),
                       result.winners.data());
    // All must be overwritten, the bias's where there is one.
    result.weight_gradient.assign(weights.size(), kNaN);
    result.bias_gradient.assign(bias.size(), kNaN);
    result.input_gradient.assign(input.size(), kNaN);
    conv_block_backward(block, images, input.data(), packed.data(), result.winners.data(),
                        gradients.data(), result.weight_gradient.data(),
                        with_bias ? result.bias_gradient.data() : nullptr,
                        with_input ? result.input_gradient.data() : nullptr);
    return result;
  }

  // With `winners`, since rounding may decide between two outputs that are nearly equal.
  BlockResult expected(const std::vector<uint8_t>& winners, bool with_bias = true) const {
    BlockResult all;
    Doubles input_gradient;
    for (int64_t i = 0; i < images; ++i) {
      const BlockReference reference(block, input.data() + i * block.input_size(), weights.data(),
                                     with_bias ? bias.data() : nullptr);
      reference.forward(all);
      reference.backward(winners.data() + i * block.output_size(),
                         gradients.data() + i * block.output_size(), all);
      input_gradient.insert(input_gradient.end(), all.input_gradient.begin(),
                            all.input_gradient.end());
    }
    all.input_gradient = input_gradient;
    return all;
  }
};

void expect_near(const Floats& found, const Doubles& expected, const char* what) {
  ASSERT_EQ(found.size(), expected.size());
  double scale = 1, error = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    scale = std::max(scale, std::abs(expected[i]));
    error = std::max(error, std::abs(found[i] - expected[i]));
    ASSERT_FALSE(std::isnan(found[i])) << what;
  }
  EXPECT_LT(error / scale, 4e-6) << what;
}

void expect_block(const Case& given, bool with_bias = true) {
  SCOPED_TRACE(describe(given.block) + " on " + instruction_set());
  const Outcome found = given.run(with_bias);
  const BlockResult expected = given.expected(found.winners, with_bias);
  expect_near(found.output, expected.output, "output");
  expect_near(found.input_gradient, expected.input_gradient, "input gradient");
  expect_near(found.weight_gradient, expected.weight_gradient, "weight gradient");
  if (with_bias) expect_near(found.bias_gradient, expected.bias_gradient, "bias gradient");
  int64_t differ = 0;
  for (size_t i = 0; i < found.winners.size(); ++i) {
    differ += found.winners[i] != expected.winners[i];
  }
  EXPECT_LE(differ, 1 + static_cast<int64_t>(found.winners.size()) / 1000);
}

TEST(KernelBlock, IsTestedOnMachinesWithoutVectorsToo) {
  std::vector<bool> vectors;
  on_each_instruction_set([&] { vectors.push_back(has_vectors()); });
  EXPECT_EQ(vectors.back(), HWY_STATIC_TARGET != HWY_SCALAR);  // false on x86
}

TEST(KernelBlock, EqualsPlainLoopsOnRandomShapes) {
  on_each_instruction_set([] {
    RandomBlocks random;
    for (int i = 0; i < 150; ++i) expect_block(Case(random, random.next()), i % 3 > 0);
  });
}

TEST(KernelBlock, EqualsPlainLoopsOnTheArticlesLayers) {
  on_each_instruction_set([] {
    RandomBlocks random;
    expect_block(Case(random, {3, 32, 32, 32, 3, 1, 1, 2, 2, true}));
    expect_block(Case(random, {32, 16, 16, 64, 3, 1, 1, 2, 2, true}));
    expect_block(Case(random, {64, 8, 8, 128, 3, 1, 1, 2, 2, true}));
  });
}

// What the first layer's own way takes, from one to all channels of a pair of rows, and shapes
// beside it; as many images as make one group of them, several, and a last one that is not full.
TEST(KernelBlock, EqualsPlainLoopsOnFewChannelsAndManyImages) {
  on_each_instruction_set([] {
    RandomBlocks random;
    for (const int64_t in : {1, 2, 3, 4, 5, 24}) {
      for (const int64_t out : {16, 20, 32, 48}) {
        for (const int64_t images : {1, 7}) {
          expect_block(Case(random, {in, 9, 7, out, 3, 1, 1, 2, 2, in % 2 == 0}, images));
        }
      }
    }
  });
}

// As in the first layer of a network, whose images need none.
TEST(KernelBlock, HasTheSameGradientsWithoutOneOfTheInput) {
  on_each_instruction_set([] {
    RandomBlocks random;
    for (const int64_t in : {3, 4, 32}) {
      const Case given(random, {in, 8, 8, 32, 3, 1, 1, 2, 2, true}, /*images=*/5);
      const Outcome with = given.run(), without = given.run(true, /*with_input=*/false);
      EXPECT_TRUE(same_bits(with.weight_gradient, without.weight_gradient)) << in;
      EXPECT_TRUE(same_bits(with.bias_gradient, without.bias_gradient)) << in;
    }
  });
}

// Dead outputs, whose gradient is not looked at, do not carry an infinite input on.
TEST(KernelBlock, SpreadsAnInfiniteInputAlikeOnEveryInstructionSet) {
  RandomBlocks random;
  for (const int64_t in : {3, 32}) {
    Case given(random, {in, 8, 8, 32, 3, 1, 1, 2, 2, true});
    given.input[100] = std::numeric_limits<float>::infinity();
    std::vector<Outcome> runs;
    on_each_vector_set([&] { runs.push_back(given.run()); });
    const auto finite = [](float value) { return std::isfinite(value); };
    const auto count = std::ranges::count_if(runs[0].weight_gradient, finite);
    EXPECT_LT(count, static_cast<int64_t>(runs[0].weight_gradient.size()));
    for (const Outcome& run : runs) {
      EXPECT_EQ(std::ranges::count_if(run.weight_gradient, finite), count);
    }
  }
}

// Without ReLU, and on odd sizes, of which max-pool drops the last row and column.
TEST(KernelBlock, EqualsPlainLoopsOnTheRecordRecipesLayers) {
  on_each_instruction_set([] {
    RandomBlocks random;
    expect_block(Case(random, {24, 31, 31, 64, 3, 1, 1, 2, 2, false}), false);
    expect_block(Case(random, {64, 15, 15, 256, 3, 1, 1, 2, 2, false}), false);
    expect_block(Case(random, {256, 7, 7, 256, 3, 1, 1, 2, 2, false}), false);
  });
}

TEST(KernelBlock, GivesTheSameBitsOnEveryInstructionSet) {
  RandomBlocks random;
  for (int i = 0; i < 100; ++i) {
    const Case given(random, random.next());
    std::vector<Outcome> runs;
    on_each_vector_set([&] { runs.push_back(given.run()); });
    for (const Outcome& run : runs) {
      EXPECT_TRUE(same_bits(run.output, runs[0].output)) << describe(given.block);
      EXPECT_TRUE(same_bits(run.winners, runs[0].winners)) << describe(given.block);
      EXPECT_TRUE(same_bits(run.input_gradient, runs[0].input_gradient)) << describe(given.block);
      EXPECT_TRUE(same_bits(run.weight_gradient, runs[0].weight_gradient)) << describe(given.block);
      EXPECT_TRUE(same_bits(run.bias_gradient, runs[0].bias_gradient)) << describe(given.block);
    }
  }
}

// A 1x1 convolution with weight 1, so that inputs are what is pooled.
Case pooling_of(const Floats& input, int64_t size, int64_t pool, int64_t pool_stride) {
  RandomBlocks random;
  Case given(random, {1, size, size, 1, 1, 1, 0, pool, pool_stride, true});
  given.images = 1;
  given.gradients.resize(static_cast<size_t>(given.block.output_size()));
  given.input = input;
  given.weights = {1};
  given.bias = {0};
  return given;
}

TEST(KernelBlock, GivesATieToTheFirstOfTheWindow) {
  on_each_instruction_set([] {
    EXPECT_EQ(pooling_of({1, 2, 2, 2}, 2, 2, 2).run().winners, std::vector<uint8_t>{1});
    EXPECT_EQ(pooling_of({5, 5, 5, 5, 5, 5, 5, 5, 5}, 3, 3, 2).run().winners,
              std::vector<uint8_t>{0});
  });
}

TEST(KernelBlock, GivesNothingToWindowsWithoutPositiveValue) {
  on_each_instruction_set([] {
    for (const Floats& values :
         {Floats{-1, -2, -3, -4}, Floats{0, 0, 0, 0}, Floats{-1, 0, -1, 0}}) {
      const Outcome run = pooling_of(values, 2, 2, 2).run();
      EXPECT_EQ(run.winners, std::vector<uint8_t>{kNoWinner});
      EXPECT_EQ(run.output, Floats{0});
      EXPECT_EQ(run.input_gradient, Floats(4));
      EXPECT_EQ(run.weight_gradient, Floats{0});
      EXPECT_EQ(run.bias_gradient, Floats{0});
    }
  });
}

TEST(KernelBlock, PassesNaNOnLikePyTorch) {
  on_each_instruction_set([] {
    for (int64_t place = 0; place < 4; ++place) {
      Floats values = {1, 2, 3, 4};
      values[static_cast<size_t>(place)] = kNaN;
      const Case given = pooling_of(values, 2, 2, 2);
      const Outcome run = given.run();
      EXPECT_TRUE(std::isnan(run.output[0]));
      EXPECT_EQ(run.winners[0], place);
      EXPECT_EQ(run.input_gradient[static_cast<size_t>(place)], given.gradients[0]);
    }
  });
}

TEST(KernelBlock, SpreadsNaNOverWinogradsPatchAndNoFurther) {
  on_each_instruction_set([] {
    RandomBlocks random;
    Case given(random, {16, 8, 8, 16, 3, 1, 1, 2, 2, true});
    given.input[0] = kNaN;  // image 0, pixel (0, 0): only window (0, 0) sees it
    const Outcome run = given.run();
    const size_t spoilt = 2 * 16;  // windows (0, 0) and (0, 1), which come from the same 4x6 pixels
    for (size_t i = 0; i < run.output.size(); ++i) EXPECT_EQ(std::isnan(run.output[i]), i < spoilt);
  });
}

TEST(KernelBlock, RefusesWhatItHasNoCodeFor) {
  ConvBlock block{3, 32, 32, 8};
  EXPECT_TRUE(can_compute(block));
  block.kernel = 7;
  EXPECT_FALSE(can_compute(block));
  block.kernel = 3;
  block.pool = block.pool_stride = 32;
  EXPECT_FALSE(can_compute(block));
  block.height = block.width = 1;
  block.pool = block.pool_stride = 2;
  EXPECT_FALSE(can_compute(block));
}

}  // namespace
}  // namespace cifar

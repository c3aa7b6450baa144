// The linear kernels against plain loops in double precision, on every instruction set of this
// machine.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "kernels/linear.h"
#include "kernels_reference.h"
#include "kernels_targets.h"

namespace cifar {
namespace {

struct Results {
  Floats output, input_gradient, weight_gradient, bias_gradient;
};

struct LinearCase {
  LinearBlock block;
  int64_t images;
  Floats input, weights, bias, gradients;

  LinearCase(RandomBlocks& random, const LinearBlock& of, int64_t count)
      : block(of),
        images(count),
        input(random.values(count * of.features())),
        weights(random.values(of.out * of.features())),
        bias(random.values(of.out)),
        gradients(random.values(count * of.out)) {}

  Results run(bool with_bias) const {
    Results all;
    Floats packed(static_cast<size_t>(packed_weights_size(block)));
    pack_weights(block, Floats(weights.size(), 7).data(), packed.data());  // an earlier result
    pack_weights(block, weights.data(), packed.data());
    // All must be overwritten.
    all.output.assign(gradients.size(), kNaN);
    all.input_gradient.assign(input.size(), kNaN);
    all.weight_gradient.assign(weights.size(), kNaN);
    all.bias_gradient.assign(bias.size(), kNaN);
    linear_forward(block, images, input.data(), packed.data(), with_bias ? bias.data() : nullptr,
                   all.output.data());
    linear_input_gradient(block, images, packed.data(), gradients.data(),
                          all.input_gradient.data());
    linear_weight_gradient(block, images, 0, block.out, input.data(), gradients.data(),
                           all.weight_gradient.data(),
                           with_bias ? all.bias_gradient.data() : nullptr);
    return all;
  }

  // y[out] = bias + sum over (channel, pixel) of weight[out][channel][pixel] x[pixel][channel].
  void expect(const Results& found, bool with_bias) const {
    Doubles output(gradients.size()), input_gradient(input.size()), weight_gradient(weights.size()),
        bias_gradient(bias.size());
    for (int64_t image = 0; image < images; ++image) {
      for (int64_t out = 0; out < block.out; ++out) {
        const int64_t to = image * block.out + out;
        output[to] = with_bias ? bias[out] : 0;
        if (with_bias) bias_gradient[out] += gradients[to];
        for (int64_t i = 0; i < block.features(); ++i) {
          const int64_t channel = i / block.pixels, pixel = i % block.pixels;
          const int64_t from = image * block.features() + pixel * block.channels + channel;
          const int64_t weight = out * block.features() + i;
          output[to] += static_cast<double>(weights[weight]) * input[from];
          input_gradient[from] += static_cast<double>(weights[weight]) * gradients[to];
          weight_gradient[weight] += static_cast<double>(input[from]) * gradients[to];
        }
      }
    }
    expect_close(found.output, output, "output");
    expect_close(found.input_gradient, input_gradient, "input gradient");
    expect_close(found.weight_gradient, weight_gradient, "weight gradient");
    if (with_bias) expect_close(found.bias_gradient, bias_gradient, "bias gradient");
  }

  static void expect_close(const Floats& found, const Doubles& expected, const char* what) {
    double scale = 1, error = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_FALSE(std::isnan(found[i])) << what;
      scale = std::max(scale, std::abs(expected[i]));
      error = std::max(error, std::abs(found[i] - expected[i]));
    }
    EXPECT_LT(error / scale, 2e-6) << what;
  }
};

// Pixels, channels, outputs, images: the article's last layer and its hidden ones, and all that
// does not divide.
const std::vector<std::vector<int64_t>> kShapes = {
    {16, 128, 10, 16}, {16, 128, 128, 9}, {1, 128, 128, 20}, {1, 2048, 10, 8}, {16, 128, 32, 9},
    {1, 1, 1, 1},      {1, 3, 2, 1},      {4, 5, 7, 3},      {9, 33, 10, 17},  {25, 17, 15, 2},
    {1, 64, 9, 5},     {64, 64, 1, 8},    {9, 1, 5, 3},      {3, 41, 275, 6}};

TEST(LinearKernel, EqualsPlainLoops) {
  on_each_instruction_set([] {
    RandomBlocks random;
    for (const auto& shape : kShapes) {
      for (const bool with_bias : {true, false}) {
        const LinearCase given(random, {shape[0], shape[1], shape[2]}, shape[3]);
        SCOPED_TRACE(testing::PrintToString(shape) + " on " + instruction_set());
        given.expect(given.run(with_bias), with_bias);
      }
    }
  });
}

TEST(LinearKernel, GivesTheSameBitsOnEveryInstructionSet) {
  RandomBlocks random;
  for (const auto& shape : kShapes) {
    const LinearCase given(random, {shape[0], shape[1], shape[2]}, shape[3]);
    std::vector<Results> runs;
    on_each_vector_set([&] { runs.push_back(given.run(true)); });
    for (const Results& run : runs) {
      EXPECT_TRUE(same_bits(run.output, runs[0].output)) << testing::PrintToString(shape);
      EXPECT_TRUE(same_bits(run.input_gradient, runs[0].input_gradient));
      EXPECT_TRUE(same_bits(run.weight_gradient, runs[0].weight_gradient));
      EXPECT_TRUE(same_bits(run.bias_gradient, runs[0].bias_gradient));
    }
  }
}

// So that threads may share them out in any way.
TEST(LinearKernel, AnOutputsGradientsDoNotDependOnThoseBesideIt) {
  RandomBlocks random;
  const LinearCase given(random, {4, 5, 21}, 6);
  const Results all = given.run(true);
  Results parts;
  parts.weight_gradient.resize(given.weights.size());
  parts.bias_gradient.resize(given.bias.size());
  for (const auto& [first, count] :
       std::vector<std::pair<int64_t, int64_t>>{{19, 2}, {0, 1}, {1, 18}}) {
    linear_weight_gradient(given.block, given.images, first, count, given.input.data(),
                           given.gradients.data(), parts.weight_gradient.data(),
                           parts.bias_gradient.data());
  }
  EXPECT_TRUE(same_bits(parts.weight_gradient, all.weight_gradient));
  EXPECT_TRUE(same_bits(parts.bias_gradient, all.bias_gradient));
}

// So that threads may share a batch out in any way.
TEST(LinearKernel, AnImageDoesNotDependOnThoseBesideIt) {
  RandomBlocks random;
  const LinearCase given(random, {16, 128, 10}, 13);
  const Results all = given.run(true);
  Floats packed(static_cast<size_t>(packed_weights_size(given.block))), output(10);
  pack_weights(given.block, given.weights.data(), packed.data());
  for (int64_t image = 0; image < given.images; ++image) {
    linear_forward(given.block, 1, given.input.data() + image * given.block.features(),
                   packed.data(), given.bias.data(), output.data());
    EXPECT_TRUE(same_bits(
        output, Floats(all.output.begin() + image * 10, all.output.begin() + image * 10 + 10)));
  }
}

}  // namespace
}  // namespace cifar

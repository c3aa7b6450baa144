// Shapes, parameters, multiply-adds and numbers of every kind of layer against closed forms, and
// what the grammar refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "model/layer.h"
#include "model_inputs.h"
#include "refusal.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const Shape kFlat{2048, 1, 1, true};

int64_t parameters_of(const Layer& layer) {
  int64_t count = 0;
  for (const auto& parameter : layer.parameters()) count += parameter.numel();
  return count;
}

struct Expected {
  std::string text;
  Shape input;
  std::string output;
  int64_t parameters;
  int64_t multiply_adds;
};

// conv: (size + 2 padding - kernel) / stride + 1, rounded down.
const Expected kExpected[] = {
    {"conv 32", kImage, "32x32x32", 32 * 27 + 32, 32 * 32 * 32 * 27},
    {"conv 8 kernel 5", kImage, "8x32x32", 8 * 75 + 8, 32 * 32 * 8 * 75},
    {"conv 8 kernel 1 no-bias", kImage, "8x32x32", 8 * 3, 32 * 32 * 8 * 3},
    {"conv 8 kernel 2", kImage, "8x31x31", 8 * 12 + 8, 31 * 31 * 8 * 12},
    {"conv 8 stride 2", kImage, "8x16x16", 8 * 27 + 8, 16 * 16 * 8 * 27},
    {"conv 8 padding 0 stride 3 kernel 4", kImage, "8x10x10", 8 * 48 + 8, 10 * 10 * 8 * 48},
    {"conv 8 no-bias padding 4", {5, 6, 9}, "8x12x15", 8 * 45, 12 * 15 * 8 * 45},
    {"relu", kImage, "3x32x32", 0, 0},
    {"conv 8 no-bias dirac", kImage, "8x32x32", 8 * 27, 32 * 32 * 8 * 27},
    {"whiten 2", kImage, "24x31x31", 24 * 12 + 24, 31 * 31 * 24 * 12},
    {"whiten 3 epsilon 1 images 7", kImage, "54x30x30", 54 * 27 + 54, 30 * 30 * 54 * 27},
    {"relu", kFlat, "2048", 0, 0},
    {"gelu", kImage, "3x32x32", 0, 0},
    {"silu", kFlat, "2048", 0, 0},
    {"scale 1/256", kFlat, "2048", 0, 0},
    {"residual", kImage, "3x32x32", 0, 0},
    {"pool max 2", kImage, "3x16x16", 0, 0},
    {"pool average 3 stride 2", kImage, "3x15x15", 0, 0},
    {"pool sum 5", kImage, "3x6x6", 0, 0},
    {"pool max all", kImage, "3x1x1", 0, 0},
    {"batch-norm", kImage, "3x32x32", 6, 0},
    {"batch-norm no-scale", kImage, "3x32x32", 6, 0},
    {"batch-norm momentum 0.5 epsilon 0.1", kFlat, "2048", 2 * 2048, 0},
    {"dropout 0.25", kFlat, "2048", 0, 0},
    {"flatten", {128, 4, 4}, "2048", 0, 0},
    {"linear 10", kFlat, "10", 2048 * 10 + 10, 2048 * 10},
    {"linear 10 no-bias", kFlat, "10", 2048 * 10, 2048 * 10},
    {"linear 10 unit-std no-bias", kFlat, "10", 2048 * 10, 2048 * 10},
};

TEST(Layer, HasTheShapeAndTheSizeOfTheClosedForm) {
  for (const Expected& expected : kExpected) {
    SCOPED_TRACE(expected.text);
    const auto layer = make_layer(expected.text, 0, expected.input);
    EXPECT_EQ(layer->output().text(), expected.output);
    EXPECT_EQ(parameters_of(*layer), expected.parameters);
    EXPECT_EQ(layer->multiply_adds(), expected.multiply_adds);
  }
}

TEST(Layer, ForwardGivesTheShapeItNames) {
  for (const Expected& expected : kExpected) {
    SCOPED_TRACE(expected.text);
    const auto layer = make_layer(expected.text, 0, expected.input);
    const auto sizes = [](const Shape& shape) {
      return shape.flat ? std::vector<int64_t>{2, shape.channels}
                        : std::vector<int64_t>{2, shape.channels, shape.height, shape.width};
    };
    const auto output = layer->forward(torch::rand(sizes(expected.input)), Pass{});
    EXPECT_EQ(output.sizes(), torch::IntArrayRef(sizes(layer->output())));
  }
}

TEST(Pool, TakesMaximumAverageOrSumOfEachWindow) {
  const auto images = torch::rand({2, 3, 7, 7});
  const auto check = [&](const std::string& options, int64_t size, int64_t stride) {
    SCOPED_TRACE(options);
    const auto run = [&](const std::string& how) {
      return make_layer("pool " + how + " " + options, 0, {3, 7, 7})->forward(images, Pass{});
    };
    const auto windows = images.unfold(2, size, stride).unfold(3, size, stride).flatten(4);
    EXPECT_TRUE(torch::equal(run("max"), windows.amax(4)));
    EXPECT_TRUE(torch::allclose(run("average"), windows.mean(4), 1e-6, 1e-6));
    EXPECT_TRUE(torch::allclose(run("sum"), windows.sum(4), 1e-6, 1e-6));
  };
  check("2", 2, 2);
  check("3", 3, 3);
  check("3 stride 1", 3, 1);
  check("2 stride 3", 2, 3);
  check("all", 7, 7);
}

TEST(BatchNorm, NormalisesOverTheBatchAndMovesTheStatistics) {
  const auto layer = make_layer("batch-norm momentum 0.25 epsilon 0.5", 0, {2, 3, 3});
  const auto input = torch::rand({4, 2, 3, 3});
  const auto channels = input.to(torch::kFloat64).transpose(0, 1).flatten(1);
  const auto mean = channels.mean(1), variance = channels.var(1, /*unbiased=*/false);
  const auto expected =
      (input - mean.view({1, 2, 1, 1})) / (variance + 0.5).sqrt().view({1, 2, 1, 1});

  const auto output = layer->forward(input, Pass{true, nullptr, {}});
  EXPECT_TRUE(torch::allclose(output.to(torch::kFloat64), expected, 1e-5, 1e-6));
  const auto buffers = layer->named_buffers();
  const auto moved = [](const torch::Tensor& to, double from) { return 0.25 * to + 0.75 * from; };
  EXPECT_TRUE(torch::allclose(buffers["running_mean"].to(torch::kFloat64), moved(mean, 0), 1e-5));
  EXPECT_TRUE(torch::allclose(buffers["running_var"].to(torch::kFloat64),
                              moved(channels.var(1, /*unbiased=*/true), 1), 1e-5));
}

TEST(BatchNorm, UsesTheStatisticsWhenNotTraining) {
  const auto layer = make_layer("batch-norm", 0, {2, 3, 3});
  layer->named_buffers()["running_mean"].fill_(2);
  layer->named_buffers()["running_var"].fill_(4);
  const auto input = torch::rand({4, 2, 3, 3});
  EXPECT_TRUE(torch::allclose(layer->forward(input, Pass{}), (input - 2) / std::sqrt(4 + 1e-5)));
}

TEST(BatchNorm, RefusesOneValueAChannel) {
  const auto layer = make_layer("batch-norm", 0, {2, 1, 1});
  EXPECT_THAT(refusal(ExitCode::kUsage,
                      [&] {
                        layer->forward(torch::rand({1, 2, 1, 1}), Pass{true, nullptr, {}});
                      }),
              HasSubstr("batch-norm: one value a channel"));
  layer->forward(torch::rand({1, 2, 1, 1}), Pass{});
}

struct Refused {
  std::string text;
  Shape input;
  std::string found;  // in the message
};

const Refused kRefused[] = {
    {"", kImage, "expected a layer"},
    {"konv 32", kImage,
     "one of conv, whiten, relu, gelu, silu, scale, pool, dropout, flatten, linear, batch-norm, "
     "residual, add"},
    {"conv", kImage, "the number of output channels"},
    {"conv x", kImage, "\"x\""},
    {"conv 8x", kImage, "\"8x\""},
    {"conv 8.5", kImage, "\"8.5\""},
    {"conv 0", kImage, "an integer from 1 to 1048576"},
    {"conv 1048577", kImage, "an integer from 1 to 1048576"},
    {"conv -3", kImage, "\"-3\""},
    {"conv 99999999999999999999", kImage, "\"99999999999999999999\""},
    {"conv 8 kernel", kImage, "nothing after \"kernel\""},
    {"conv 8 kernel 0", kImage, "kernel, an integer from 1 to 1048576"},
    {"conv 8 stride 0", kImage, "stride, an integer from 1 to 1048576"},
    {"conv 8 padding -1", kImage, "padding, an integer from 0 to 1048576"},
    {"conv 8 9", kImage, "\"9\"; expected the end of the layer"},
    {"conv 1000000 kernel 100", kImage, "weights of 30000000000 numbers; expected at most 21474"},
    {"conv 1048576 kernel 1048576 padding 1048576", kImage, "weights of 34587645138"},
    {"conv 1 padding 1000000", kImage, "an output of 4000120000900 numbers"},
    {"conv 8 dilation 2", kImage, "\"dilation\""},
    {"conv 8", kFlat, "a flat input of 2048; expected an image"},
    {"conv 8 kernel 5 padding 0", {64, 4, 4}, "a window of 5x5 on an input of 64x4x4"},
    {"conv 8 kernel 5 padding 0", {64, 4, 8}, "a window of 5x5 on an input of 64x4x8"},
    {"conv 8 dirac dirac", kImage, "\"dirac\"; expected the end of the layer"},
    {"conv dirac", kImage, "\"dirac\"; expected the number of output channels"},
    {"whiten 2", kImage, "behind other layers; expected to be the first, which sees the images"},
    {"relu 6", kImage, "\"6\""},
    {"gelu tanh", kImage, "\"tanh\"; expected the end of the layer"},
    {"silu 1", kImage, "\"1\"; expected the end of the layer"},
    {"scale", kImage, "nothing after the name; expected the factor"},
    {"scale x", kImage, "\"x\"; expected the factor, a number"},
    {"scale 1/", kImage, "\"\"; expected the factor, a number"},
    {"scale /2", kImage, "\"\"; expected the factor, a number"},
    {"scale 1/2/3", kImage, "\"2/3\"; expected the factor, a number"},
    {"scale 1/0", kImage, "\"1/0\"; expected the factor, a finite number"},
    {"scale 0/0", kImage, "\"0/0\"; expected the factor, a finite number"},
    {"scale inf", kImage, "\"inf\"; expected the factor, a number"},
    {"scale 1 2", kImage, "\"2\"; expected the end of the layer"},
    {"pool", kImage, "max, average or sum"},
    {"pool mean 2", kImage, "\"mean\"; expected max, average or sum"},
    {"pool max", kImage, "the size of the window, or all"},
    {"pool max 0", kImage, "an integer from 1 to 1048576"},
    {"pool max 2 stride 0", kImage, "stride, an integer from 1 to 1048576"},
    {"pool max 2 padding 1", kImage, "\"padding\""},
    {"pool max all stride 2", kImage, "\"stride\""},
    {"pool max 2", {128, 1, 1}, "a window of 2x2 on an input of 128x1x1"},
    {"pool max all", {64, 4, 8}, "an input of 64x4x8; expected a square one"},
    {"pool max 2", kFlat, "a flat input of 2048"},
    {"batch-norm momentum 0", kImage, "momentum 0"},
    {"batch-norm momentum 1.5", kImage, "momentum 1.5"},
    {"batch-norm epsilon 0", kImage, "epsilon 0"},
    {"batch-norm epsilon inf", kImage, "\"inf\""},
    {"batch-norm epsilon", kImage, "nothing after \"epsilon\""},
    {"batch-norm 3", kImage, "\"3\""},
    {"batch-norm scale", kImage, "\"scale\"; expected the end of the layer"},
    {"dropout", kImage, "the probability to drop"},
    {"dropout 1", kImage, "a probability in [0, 1)"},
    {"dropout -0.1", kImage, "a probability in [0, 1)"},
    {"dropout nan", kImage, "\"nan\""},
    {"dropout half", kImage, "\"half\""},
    {"dropout 0.5 0.5", kImage, "the end of the layer"},
    {"flatten 2", kImage, "\"2\""},
    {"linear 10", {128, 4, 4}, "an image of 128x4x4; expected \"flatten\" before it"},
    {"linear", kFlat, "the number of output features"},
    {"linear 0", kFlat, "an integer from 1 to 1048576"},
    {"linear 1048576", {1048576, 1, 1, true}, "weights of 1099511627776 numbers"},
    {"linear 10 bias", kFlat, "\"bias\""},
    {"linear 1 unit-std", {1, 1, 1, true}, "unit-std of one weight; expected two weights or more"},
    {"add", kImage, "no residual block is open; expected \"residual\" before it"},
};

TEST(MakeLayer, NestsResidualBlocksToALimit) {
  const std::vector<Shape> open(99, kImage);
  EXPECT_EQ(make_layer("residual", 7, kImage, open)->bracket(), Bracket::kResidual);
  const std::vector<Shape> most(100, kImage);
  EXPECT_EQ(refusal(ExitCode::kUsage, [&] { make_layer("residual", 7, kImage, most); }),
            "layer 7 (\"residual\"): inside 100 residual blocks; expected at most 100 inside one "
            "another");
}

TEST(MakeLayer, RefusesAWrongLineAndNamesIt) {
  for (const Refused& refused : kRefused) {
    SCOPED_TRACE(refused.text);
    const std::string message =
        refusal(ExitCode::kUsage, [&] { make_layer(refused.text, 7, refused.input); });
    EXPECT_THAT(message,
                AllOf(HasSubstr("layer 7 (\"" + refused.text + "\")"), HasSubstr(refused.found)));
  }
}

}  // namespace
}  // namespace cifar

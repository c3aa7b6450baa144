// The dropout mask: what it depends on, how often it drops, and the gradient.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/random.h"
#include "model/dropout.h"
#include "model/dropout_mask.h"
#include "model/layer.h"

namespace cifar {
namespace {

const StepValues kNow{.epoch = 3, .seed = 42};
const Shape kFeatures{10, 1, 1, true};  // not a multiple of the four draws of a block

struct Use {
  uint64_t seed = 42;
  int64_t epoch = 3, layer = 7;
};

torch::Tensor samples(const std::vector<int32_t>& indices) {
  return torch::tensor(indices, torch::kInt32);
}

torch::Tensor mask(const std::vector<int32_t>& indices, const Use& use = {},
                   const Shape& shape = kFeatures, const std::string& probability = "0.25") {
  const auto layer = make_layer("dropout " + probability, use.layer, shape);
  const auto batch = static_cast<int64_t>(indices.size());
  const auto ones = shape.flat ? torch::ones({batch, shape.channels})
                               : torch::ones({batch, shape.channels, shape.height, shape.width});
  const StepValues now{.epoch = use.epoch, .seed = use.seed};
  return layer->forward(ones, {true, &now, samples(indices)});
}

TEST(Dropout, AMaskIsAFunctionOfTheSampleNotOfItsBatch) {
  const auto alone = mask({17});
  EXPECT_TRUE(torch::equal(mask({17, 4, 9})[0], alone[0]));
  EXPECT_TRUE(torch::equal(mask({4, 9, 17})[2], alone[0]));
  EXPECT_TRUE(torch::equal(mask({4, 17, 17})[1], alone[0]));
}

TEST(Dropout, AMaskDependsOnSeedEpochLayerAndSample) {
  const Shape wide{256, 1, 1, true};
  const auto one = mask({17}, {}, wide);
  EXPECT_TRUE(torch::equal(one, mask({17}, {}, wide)));
  EXPECT_FALSE(torch::equal(one, mask({18}, {}, wide)));
  EXPECT_FALSE(torch::equal(one, mask({17}, {.seed = 43}, wide)));
  EXPECT_FALSE(torch::equal(one, mask({17}, {.epoch = 4}, wide)));
  EXPECT_FALSE(torch::equal(one, mask({17}, {.layer = 8}, wide)));
}

// Element i is dropped when word i % 4 of draw i / 4, as a number in [0, 1), is below P.
TEST(Dropout, AMaskIsWhatTheDrawsSay) {
  const auto found = mask({17, 60000}, {.seed = uint64_t{1} << 40});
  for (int64_t row = 0; row < 2; ++row) {
    for (uint32_t i = 0; i < 10; ++i) {
      const Random4 random =
          draw(uint64_t{1} << 40, Purpose::kDropout, 3 * 256 + 7, row == 0 ? 17 : 60000, i / 4);
      const float expected = unit_float(random.word[i % 4]) < 0.25f ? 0.0f : 1.0f / 0.75f;
      EXPECT_EQ(found[row][i].item<float>(), expected);
    }
  }
}

// Of n elements n P are dropped, give or take five standard deviations.
TEST(Dropout, DropsWithTheProbabilityAndScalesTheRest) {
  const Shape wide{4096, 1, 1, true};
  for (const double probability : {0.1, 0.5, 0.9}) {
    SCOPED_TRACE(probability);
    const auto found = mask({1, 2, 3, 4, 5, 6, 7, 8}, {}, wide, std::to_string(probability));
    const auto n = static_cast<double>(found.numel());
    const double dropped = found.eq(0).sum().item<double>();
    EXPECT_NEAR(dropped, n * probability, 5 * std::sqrt(n * probability * (1 - probability)));
    const auto kept = found.masked_select(found.ne(0));
    const float factor = 1.0f / (1.0f - static_cast<float>(probability));
    EXPECT_TRUE(torch::equal(kept, torch::full_like(kept, factor)));
  }
}

TEST(Dropout, LetsAllThroughWhenNotTrainingOrWithProbabilityZero) {
  const auto input = torch::rand({2, 10});
  EXPECT_TRUE(make_layer("dropout 0.5", 0, kFeatures)->forward(input, Pass{}).is_same(input));
  const Pass training{true, &kNow, samples({1, 2})};
  EXPECT_TRUE(make_layer("dropout 0", 0, kFeatures)->forward(input, training).is_same(input));
}

TEST(Dropout, MasksImagesInEitherMemoryOrder) {
  const Shape image{4, 3, 3};
  const auto layer = make_layer("dropout 0.5", 7, image);
  const auto ones = torch::ones({2, 4, 3, 3});
  const Pass pass{true, &kNow, samples({5, 6})};
  for (const auto order : {torch::MemoryFormat::Contiguous, torch::MemoryFormat::ChannelsLast}) {
    const auto found = layer->forward(ones.contiguous(order), pass);
    const auto alone =
        layer->forward(ones.narrow(0, 1, 1).contiguous(order), {true, &kNow, samples({6})});
    EXPECT_TRUE(torch::equal(found[1], alone[0]));
    EXPECT_GT(found.eq(0).sum().item<int64_t>(), 0);
    EXPECT_GT(found.eq(2).sum().item<int64_t>(), 0);
  }
}

TEST(Dropout, AnEmptyBatchStaysEmpty) {
  EXPECT_EQ(mask({}).numel(), 0);
}

TEST(Dropout, TheGradientIsTheMask) {
  const auto layer = make_layer("dropout 0.25", 7, kFeatures);
  const auto input = torch::rand({3, 10}).set_requires_grad(true);
  const auto weights = torch::rand({3, 10});
  (layer->forward(input, {true, &kNow, samples({17, 4, 9})}) * weights).sum().backward();
  EXPECT_TRUE(torch::equal(input.grad(), mask({17, 4, 9}) * weights));
}

}  // namespace
}  // namespace cifar

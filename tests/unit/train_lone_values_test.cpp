// Which recipes batch-norm cannot train: the rule against all shards of all batches, counted one by
// one, and what is said.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "data/sampler.h"
#include "parallel/shards.h"
#include "refusal.h"
#include "small_run.h"
#include "train/lone_values.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TrainConfig training(int64_t batch, int64_t shards, bool drop_last = false) {
  TrainConfig train;
  train.batch_size = batch;
  train.shards = shards;
  train.drop_last = drop_last;
  return train;
}

int64_t smallest_counted(const TrainConfig& train, int64_t samples) {
  int64_t smallest = std::numeric_limits<int64_t>::max();
  const int64_t steps = steps_per_epoch(samples, train.batch_size, train.drop_last);
  for (int64_t step = 0; step < steps; ++step) {
    const int64_t batch = step_range(step, train.batch_size, samples).count;
    for (int64_t shard = 0; shard < train.shards; ++shard) {
      const int64_t images = part_of(batch, train.shards, shard).count;
      if (images > 0) smallest = std::min(smallest, images);
    }
  }
  return smallest;
}

TEST(LoneValues, TheSmallestShardIsTheSmallestOfAll) {
  for (const bool drop_last : {false, true}) {
    for (int64_t samples = 1; samples <= 40; ++samples) {
      for (int64_t batch = 1; batch <= (drop_last ? samples : 45); ++batch) {
        for (const int64_t shards : {1, 2, 3, 8, 50}) {
          const TrainConfig train = training(batch, shards, drop_last);
          ASSERT_EQ(smallest_shard(train, samples).images, smallest_counted(train, samples))
              << batch << " of " << samples << " in " << shards;
        }
      }
    }
  }
}

// 45,000 images are 703 batches of 64 and one of 8.
TEST(LoneValues, OfTheArticlesBatchTheLastOneIsToldOf) {
  const SmallestShard smallest = smallest_shard(training(64, 8), 45000);
  EXPECT_EQ(smallest.images, 1);
  EXPECT_EQ(smallest.batch, 8);
  EXPECT_TRUE(smallest.short_last);
  EXPECT_EQ(smallest_shard(training(64, 8, true), 45000).images, 8);
  EXPECT_FALSE(smallest_shard(training(8, 8), 45000).short_last);
}

std::shared_ptr<Network> network(const std::vector<std::string>& layers) {
  return make_network(small_config(layers));
}

TEST(LoneValues, ANetworkNamesTheLayer) {
  const auto layer = [](const std::vector<std::string>& layers) {
    return network(layers)->layer_that_needs_two_images();
  };
  EXPECT_EQ(layer({"conv 4 stride 8", "flatten", "linear 8", "batch-norm", "linear 10"}),
            "layer 3 (\"batch-norm\")");
  EXPECT_EQ(
      layer({"conv 4 kernel 32 padding 0", "batch-norm momentum 0.2", "flatten", "linear 10"}),
      "layer 1 (\"batch-norm momentum 0.2\")");
  EXPECT_EQ(layer({"pool average all", "residual", "batch-norm", "add", "flatten", "linear 10"}),
            "layer 2 (\"batch-norm\")");
  EXPECT_EQ(layer({"flatten", "batch-norm", "linear 10"}), "layer 1 (\"batch-norm\")");
  EXPECT_EQ(layer({"conv 4 stride 16", "batch-norm", "flatten", "linear 10"}), "");
  EXPECT_EQ(layer({"flatten", "linear 10"}), "");
}

TEST(LoneValues, AreRefusedWithTheWayOut) {
  const auto lone = network({"conv 4 stride 8", "flatten", "linear 8", "batch-norm", "linear 10"});
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { refuse_lone_values(*lone, training(64, 8), 45000); }),
              AllOf(HasSubstr("layer 3 (\"batch-norm\")"), HasSubstr("an epoch's last batch"),
                    HasSubstr("8 images in 8 shards"), HasSubstr("--drop-last")));
  EXPECT_THAT(
      refusal(ExitCode::kUsage, [&] { refuse_lone_values(*lone, training(8, 8, true), 45000); }),
      AllOf(HasSubstr("each batch: 8 images in 8 shards"), HasSubstr("--batch-size")));
  refuse_lone_values(*lone, training(64, 8, true), 45000);
  refuse_lone_values(*lone, training(64, 4), 45000);
  const auto images = network({"conv 4 stride 16", "batch-norm", "flatten", "linear 10"});
  refuse_lone_values(*images, training(8, 8), 45000);
}

// What is refused fails when it is tried, and what is not does not.
TEST(LoneValues, TheRuleIsTheLayers) {
  for (const std::string first : {"conv 2 stride 32", "conv 2 stride 16"}) {
    const auto tried = network({first, "batch-norm", "flatten", "linear 10"});
    const StepValues now{};
    const Pass pass{true, &now, torch::zeros({1}, torch::kInt32)};
    const auto image = torch::rand({1, 3, 32, 32});
    if (tried->layer_that_needs_two_images().empty()) {
      tried->forward(image, pass);
    } else {
      EXPECT_THAT(refusal(ExitCode::kUsage, [&] { tried->forward(image, pass); }),
                  HasSubstr("one value a channel"));
    }
  }
}

}  // namespace
}  // namespace cifar

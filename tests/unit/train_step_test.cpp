// One step on ranks as threads against one whole-batch backward by plain autograd.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "refusal.h"
#include "small_run.h"
#include "thread_communicator.h"
#include "train/step.h"

namespace cifar {
namespace {

constexpr double kTolerance = 1e-5;

// Dropout included: its mask does not depend on how the batch falls to ranks.
const std::vector<std::string> kStepLayers = {
    "conv 6",    "relu",           "pool max 2", "conv 8 stride 2",
    "relu",      "pool average 2", "flatten",    "dropout 0.25",
    "linear 12", "relu",           "linear 10"};
const std::vector<std::string> kWithBatchNorm = {
    "conv 4 stride 2 no-bias", "batch-norm", "relu", "pool max 4", "flatten", "linear 10"};

std::vector<std::unique_ptr<TrainState>> states(const Config& config, int ranks) {
  std::vector<std::unique_ptr<TrainState>> found;
  for (int rank = 0; rank < ranks; ++rank) {
    found.push_back(std::make_unique<TrainState>(config, torch::kCPU));
    for (const FlatEntry& entry : found.back()->flat.parameter_entries()) {
      if (entry.tensor.grad().defined()) entry.tensor.grad().fill_(7);  // as a step before leaves
    }
  }
  return found;
}

TEST(TrainStep, GradientAndMetricsAreTheWholeBatchs) {
  const ImageSet set = random_images(16);
  const auto order = backwards(16);
  for (const int64_t samples : {1, 2, 7, 16}) {
    Config config = small_config(kStepLayers);
    const ExpectedStep expected = expected_step(config, set, order, samples);
    for (const std::string reduction : {"ordered", "overlapped"}) {
      config.train.reduction = reduction;
      for (int ranks = 1; ranks <= 3; ++ranks) {
        for (const int64_t shards : {1, 2, 5, 8}) {
          if (reduction == "ordered" && shards < ranks) continue;
          SCOPED_TRACE(testing::Message() << reduction << ", " << samples << " samples, " << ranks
                                          << " ranks, " << shards << " shards");
          config.train.shards = shards;
          const auto state = states(config, ranks);
          run_ranks(ranks, [&](Communicator& comm) {
            Stepper(config, set, order, *state[comm.rank()], comm).run({0, samples});
          });
          for (const auto& one : state) expect_step(one->flat, expected, kTolerance);
        }
      }
    }
  }
}

TEST(TrainStep, GradientOfASmoothedSumAndMetricsOfItsMean) {
  const ImageSet set = random_images(16);
  const auto order = backwards(16);
  Config config = small_config(kStepLayers);
  config.train.label_smoothing = 0.2;
  for (const std::string reduction : {"mean", "sum"}) {
    config.train.loss_reduction = reduction;
    for (const int64_t samples : {7, 16}) {
      const ExpectedStep expected = expected_step(config, set, order, samples);
      for (int ranks = 1; ranks <= 3; ++ranks) {
        SCOPED_TRACE(testing::Message() << reduction << ", " << samples << " samples, " << ranks);
        const auto state = states(config, ranks);
        run_ranks(ranks, [&](Communicator& comm) {
          Stepper(config, set, order, *state[comm.rank()], comm).run({0, samples});
        });
        for (const auto& one : state) expect_step(one->flat, expected, kTolerance);
      }
    }
  }
}

TEST(TrainStep, BatchNormNormalisesEachShardAndAveragesTheStatistics) {
  const ImageSet set = random_images(16);
  const auto order = backwards(16);
  Config config = small_config(kWithBatchNorm);
  config.train.reduction = "overlapped";
  for (const int64_t shards : {1, 2, 3}) {
    for (const int64_t samples : {2, 7, 16}) {
      config.train.shards = shards;
      const ExpectedStep expected = expected_step(config, set, order, samples, shards);
      for (int ranks = 1; ranks <= 3; ++ranks) {
        SCOPED_TRACE(testing::Message()
                     << samples << " samples, " << ranks << " ranks, " << shards << " shards");
        const auto state = states(config, ranks);
        run_ranks(ranks, [&](Communicator& comm) {
          Stepper(config, set, order, *state[comm.rank()], comm).run({0, samples});
        });
        for (const auto& one : state) expect_step(one->flat, expected, kTolerance);
      }
    }
  }
}

// Whitening, frozen parameters and a residual block, which no reducer may wait for or miss.
// Whitening magnifies rounding: LibTorch's own convolutions in float32 are 4.4e-5 of the largest
// gradient away.
TEST(TrainStep, GradientsOfTheRecordLayers) {
  const ImageSet set = random_images(16);
  Config config = small_config(kRecordLayers);
  config.train.shards = 3;
  const ExpectedStep expected = expected_step(config, set, backwards(16), 16, 3);
  for (const std::string reduction : {"ordered", "overlapped"}) {
    config.train.reduction = reduction;
    for (int ranks = 1; ranks <= 3; ++ranks) {
      SCOPED_TRACE(testing::Message() << reduction << " " << ranks);
      const auto state = states(config, ranks);
      run_ranks(ranks, [&](Communicator& comm) {
        Stepper(config, set, backwards(16), *state[comm.rank()], comm).run({0, 16});
      });
      for (const auto& one : state) expect_step(one->flat, expected, 1e-4);
    }
  }
}

TEST(TrainStep, FrozenParametersStayUnderWeightDecayAndMomentum) {
  const ImageSet set = random_images(40);
  Config config = small_config(kRecordLayers);
  config.optimizer.weight_decay = 0.1;
  config.optimizer.momentum = 0.9;
  for (const std::string optimizer : {"adam", "adamw", "sgd"}) {
    config.optimizer.name = optimizer;
    const auto state = states(config, 1);
    std::map<std::string, torch::Tensor> before;
    for (const FlatEntry& entry : state[0]->flat.parameter_entries()) {
      before[entry.name] = entry.tensor.detach().clone();
    }
    run_ranks(1, [&](Communicator& comm) {
      Stepper stepper(config, set, backwards(40), *state[0], comm);
      for (int64_t step = 0; step < 2; ++step) stepper.run({16 * step, 16});
    });
    for (const FlatEntry& entry : state[0]->flat.parameter_entries()) {
      EXPECT_NE(torch::equal(entry.tensor, before.at(entry.name)), entry.tensor.requires_grad())
          << optimizer << " " << entry.name;
    }
  }
}

// Three steps, the last of them short; all ranks must end with the bits whose hash is returned.
std::string hash_after_three_steps(const Config& config, int ranks) {
  const ImageSet set = random_images(40);
  const auto state = states(config, ranks);
  run_ranks(ranks, [&](Communicator& comm) {
    Stepper stepper(config, set, backwards(40), *state[comm.rank()], comm);
    for (int64_t step = 0; step < 3; ++step) stepper.run({16 * step, step < 2 ? 16 : 8});
  });
  for (const auto& one : state) EXPECT_EQ(one->flat.hash(), state[0]->flat.hash());
  return state[0]->flat.hash();
}

Config with_everything() {
  Config config = small_config(kWithBatchNorm);
  config.model.layers.insert(config.model.layers.end() - 1, "dropout 0.3");
  config.augmentation.flip = "random";
  config.augmentation.crop_padding = 4;
  return config;
}

TEST(TrainStep, RanksKeepTheSameBits) {
  Config config = with_everything();
  config.train.reduction = "overlapped";
  config.train.shards = 3;
  hash_after_three_steps(config, 3);
}

// Shards that a rank count divides evenly and not, more shards than samples.
TEST(TrainStep, OrderedReductionGivesTheSameBitsOnAnyNumberOfRanks) {
  Config config = with_everything();
  for (const int64_t shards : {2, 3, 5, 6, 8, 20}) {
    config.train.shards = shards;
    const std::string alone = hash_after_three_steps(config, 1);
    for (int ranks = 2; ranks <= std::min<int64_t>(shards, 8); ++ranks) {
      EXPECT_EQ(hash_after_three_steps(config, ranks), alone)
          << ranks << " ranks, " << shards << " shards";
    }
  }
}

TEST(TrainStep, OrderedReductionGivesTheSameBitsOfTheRecordLayers) {
  Config config = small_config(kRecordLayers);
  config.augmentation.flip = "random";
  config.train.shards = 6;
  const std::string alone = hash_after_three_steps(config, 1);
  for (const int ranks : {2, 3, 5}) EXPECT_EQ(hash_after_three_steps(config, ranks), alone);
}

TEST(TrainStep, OrderedReductionRefusesMoreRanksThanShards) {
  Config config = small_config(kStepLayers);
  config.train.shards = 2;
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { hash_after_three_steps(config, 3); }),
              testing::HasSubstr("3 ranks for 2 shards"));
}

TEST(TrainStep, UpdatesWithTheLearningRateOfThePlan) {
  const ImageSet set = random_images(16);
  Config config = small_config(kStepLayers);
  config.optimizer.name = "sgd";
  const auto state = states(config, 1);
  const auto before = state[0]->flat.parameters().clone();
  run_ranks(1, [&](Communicator& comm) {
    Stepper(config, set, backwards(16), *state[0], comm).run({0, 16}, 0.5);
  });
  const auto expected = before - 0.5 * state[0]->flat.gradients();
  EXPECT_TRUE(torch::allclose(state[0]->flat.parameters(), expected, 1e-6, 1e-7));
}

TEST(TrainStep, CountsTheRanksThatWereAskedToStop) {
  const ImageSet set = random_images(16);
  const Config config = small_config(kStepLayers);
  const auto state = states(config, 3);
  run_ranks(3, [&](Communicator& comm) {
    Stepper stepper(config, set, backwards(16), *state[comm.rank()], comm);
    stepper.run({0, 2}, 0.001, comm.rank() != 1);  // rank 2 has no sample
    EXPECT_EQ(state[comm.rank()]->flat.metrics()[2].item<float>(), 2);
    stepper.run({0, 2});
    EXPECT_EQ(state[comm.rank()]->flat.metrics()[2].item<float>(), 0);
  });
}

}  // namespace
}  // namespace cifar

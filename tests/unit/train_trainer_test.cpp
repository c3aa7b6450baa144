// Whole small runs on ranks as threads: what is recorded and kept, and that a resume gives the bits
// of the uninterrupted run.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numbers>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "refusal.h"
#include "small_run.h"
#include "temp_folder.h"
#include "thread_communicator.h"
#include "train/trainer.h"

namespace cifar {
namespace {

constexpr int64_t kTrain = 40, kVal = 10, kTest = 30;
constexpr int64_t kStepsPerEpoch = 3;  // 16 + 16 + 8

class TrainerTest : public testing::Test {
 protected:
  TrainerTest() {
    config_ = small_config({"conv 4 stride 2", "batch-norm", "relu", "dropout 0.2", "pool max 4",
                            "flatten", "linear 10"});
    config_.data.validation_size = kVal;
    config_.augmentation.flip = "random";
    config_.augmentation.crop_padding = 4;
    config_.train.epochs = 2;
    dataset_.train = random_images(kTrain + kVal);
    dataset_.test = random_images(kTest);
  }

  // Trains on `ranks` ranks, from rank 0's newest checkpoint under `path` where there is one;
  // returns the hash of the weights, which all ranks agree on.
  std::string train(int ranks, const std::string& path) {
    const RunDirectory directory(path, "test", true, config_.run.keep);
    std::vector<std::unique_ptr<TrainState>> states;
    for (int rank = 0; rank < ranks; ++rank) {
      states.push_back(std::make_unique<TrainState>(config_, torch::kCPU));
    }
    if (const auto found = newest_checkpoint(path, silent_)) {
      restore(found->checkpoint, found->file, *states[0]);
      directory.rewind_metrics(states[0]->position.epoch);
    }
    run_ranks(ranks, [&](Communicator& comm) {
      TrainState& state = *states[comm.rank()];
      broadcast(state, comm);
      Trainer trainer(config_, dataset_, state, comm, signals_, silent_);
      EXPECT_EQ(trainer.run(comm.rank() == 0 ? &directory : nullptr), ExitCode::kDone);
    });
    for (const auto& state : states) EXPECT_EQ(state->flat.hash(), states[0]->flat.hash());
    return states[0]->flat.hash();
  }

  static std::vector<nlohmann::json> metrics(const std::string& path) {
    std::istringstream lines(read_file(path + "/metrics.jsonl", ExitCode::kCheckpoint));
    std::vector<nlohmann::json> objects;
    for (std::string line; std::getline(lines, line);) {
      objects.push_back(nlohmann::json::parse(line));
    }
    return objects;
  }

  Signals signals_;
  Log silent_{1};
  TempFolder temp_;
  Config config_;
  Dataset dataset_;
};

TEST_F(TrainerTest, RecordsEachEpochAndTheTest) {
  train(2, temp_ / "run");
  const auto objects = metrics(temp_ / "run");
  ASSERT_EQ(objects.size(), 3u);
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    EXPECT_EQ(objects[epoch]["epoch"], epoch + 1);
    EXPECT_EQ(objects[epoch]["step"], kStepsPerEpoch * (epoch + 1));
    EXPECT_GT(objects[epoch]["train_loss"], 0);
    EXPECT_GT(objects[epoch]["val_loss"], 0);
    // A whole number of right answers among 10.
    const double right = objects[epoch]["val_accuracy"].get<double>() * kVal;
    EXPECT_NEAR(right, std::round(right), 1e-9);
  }
  EXPECT_TRUE(objects[2].contains("test_loss"));
  EXPECT_TRUE(objects[2].contains("test_accuracy"));
}

TEST_F(TrainerTest, TrainsOnAllImagesWhenNoneIsHeldOut) {
  config_.data.validation_size = 0;
  train(2, temp_ / "run");
  const auto objects = metrics(temp_ / "run");
  ASSERT_EQ(objects.size(), 3u);
  EXPECT_EQ(objects[0]["step"], 4);  // 50 images by 16
  EXPECT_TRUE(objects[0]["val_loss"].is_null() && objects[0]["val_accuracy"].is_null());
  EXPECT_TRUE(objects[2].contains("test_loss"));
}

TEST_F(TrainerTest, DropsTheShortBatchFromStepsAndSchedule) {
  config_.train.drop_last = true;
  config_.schedule.name = "cosine";
  train(2, temp_ / "run");
  const auto objects = metrics(temp_ / "run");
  ASSERT_EQ(objects.size(), 3u);
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    EXPECT_EQ(objects[epoch]["step"], 2 * (epoch + 1));
    // 32 of the 40 images.
    const double right = objects[epoch]["train_accuracy"].get<double>() * 32;
    EXPECT_NEAR(right, std::round(right), 1e-9);
    const double last_step = static_cast<double>(2 * (epoch + 1) - 1);
    EXPECT_NEAR(objects[epoch]["learning_rate"].get<double>(),
                0.001 / 2 * (1 + std::cos(std::numbers::pi * last_step / 4)), 1e-12);
  }
}

TEST_F(TrainerTest, RefusesToDropTheOnlyBatch) {
  config_.train.drop_last = true;
  config_.train.batch_size = kTrain + 1;
  TrainState state(config_, torch::kCPU);
  run_ranks(1, [&](Communicator& comm) {
    EXPECT_EQ(refusal(ExitCode::kUsage,
                      [&] { Trainer(config_, dataset_, state, comm, signals_, silent_); }),
              "train.batch_size: 41 with drop_last; expected at most the 40 images of the train "
              "split");
  });
}

TEST_F(TrainerTest, AResumeGivesTheBitsWithAllOfTheAugmentation) {
  config_.augmentation.flip = "alternating";
  config_.augmentation.padding_mode = "reflect";
  config_.augmentation.cutout = 8;
  config_.augmentation.brightness = 0.1;
  config_.augmentation.contrast = 0.1;
  config_.train.drop_last = true;
  config_.train.label_smoothing = 0.2;
  config_.train.loss_reduction = "sum";
  config_.train.tta = "shift";
  const std::string whole = train(1, temp_ / "whole");
  config_.run.max_steps = 3;
  EXPECT_NE(train(3, temp_ / "part"), whole);
  config_.run.max_steps = 0;
  EXPECT_EQ(train(2, temp_ / "part"), whole);
  EXPECT_EQ(metrics(temp_ / "part").back(), metrics(temp_ / "whole").back());
}

TEST_F(TrainerTest, TheLearningRateFollowsTheSchedule) {
  config_.schedule.name = "cosine";
  train(1, temp_ / "run");
  const auto objects = metrics(temp_ / "run");
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    const double last_step = static_cast<double>(kStepsPerEpoch * (epoch + 1) - 1);
    const double expected = 0.001 / 2 * (1 + std::cos(std::numbers::pi * last_step / 6));
    EXPECT_NEAR(objects[epoch]["learning_rate"].get<double>(), expected, 1e-12);
  }
}

TEST_F(TrainerTest, OneEpochsLossIsTheMeanOverItsSamples) {
  config_.train.epochs = 1;
  config_.train.batch_size = kTrain;  // one step, at the initial weights
  config_.model.layers = {"flatten", "linear 10"};
  config_.augmentation = {};
  train(3, temp_ / "run");
  const Split split = split_train(kTrain + kVal, kVal, 42);
  const ExpectedStep expected = expected_step(config_, dataset_.train, split.train, kTrain);
  const auto object = metrics(temp_ / "run").front();
  EXPECT_NEAR(object["train_loss"].get<double>(), expected.loss, 1e-6 * expected.loss);
  EXPECT_EQ(object["train_accuracy"], static_cast<double>(expected.correct) / kTrain);
}

TEST_F(TrainerTest, AnEpochThatIsBrokenOffSaysSo) {
  config_.run.max_steps = 2;
  train(2, temp_ / "run");
  const auto objects = metrics(temp_ / "run");
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0]["step"], 2);
  EXPECT_EQ(objects[0]["partial"], true);
}

TEST_F(TrainerTest, WritesCheckpointsAtStepsAndEpochs) {
  config_.run.checkpoint_every = 2;
  config_.run.keep = 0;
  train(1, temp_ / "run");
  for (const int64_t step : {2, 3, 4, 6}) {
    const std::string file =
        temp_ / ("run/checkpoints/step-0000000" + std::to_string(step) + ".pt");
    EXPECT_EQ(find_checkpoint(file, silent_).checkpoint.position.step, step);
  }
}

// Steps 1 ... 5 end in the middle of an epoch and, 3, at the end of one.
TEST_F(TrainerTest, AResumeGivesTheBitsOfTheUninterruptedRun) {
  for (const std::string optimizer : {"adam", "sgd"}) {
    config_.optimizer.name = optimizer;
    config_.optimizer.momentum = optimizer == "sgd" ? 0.9 : 0;
    config_.run.max_steps = 0;
    const std::string whole = train(2, temp_ / (optimizer + "-whole"));
    const auto expected = metrics(temp_ / (optimizer + "-whole"));
    for (int64_t stop = 1; stop < 6; ++stop) {
      SCOPED_TRACE(testing::Message() << optimizer << ", stopped after " << stop);
      const std::string path = temp_ / (optimizer + std::to_string(stop));
      config_.run.max_steps = stop;
      EXPECT_NE(train(2, path), whole);
      config_.run.max_steps = 0;
      EXPECT_EQ(train(2, path), whole);
      const auto found = metrics(path);
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) {
        for (const char* key : {"step", "train_loss", "val_loss", "test_loss", "test_accuracy"}) {
          EXPECT_EQ(found[i].value(key, nlohmann::json()), expected[i].value(key, nlohmann::json()))
              << key;
        }
      }
    }
  }
}

TEST_F(TrainerTest, ARunGoesOnOnAnyNumberOfRanksWithTheSameBits) {
  const std::string whole = train(2, temp_ / "whole");
  for (const auto& [before, after] : {std::pair{1, 3}, {3, 1}, {4, 2}, {2, 8}, {5, 4}}) {
    const std::string path = temp_ / (std::to_string(before) + "-" + std::to_string(after));
    config_.run.max_steps = 4;  // in the middle of the second epoch
    train(before, path);
    config_.run.max_steps = 0;
    EXPECT_EQ(train(after, path), whole) << before << " ranks, then " << after;
    EXPECT_EQ(metrics(path)[1]["val_loss"], metrics(temp_ / "whole")[1]["val_loss"]);
  }
}

TEST_F(TrainerTest, OverlappedReductionDoesNotChangeTheResultBeyondRounding) {
  config_.train.reduction = "overlapped";
  config_.model.layers = {"conv 4 stride 2", "relu", "dropout 0.2", "flatten", "linear 10"};
  train(1, temp_ / "one");
  train(3, temp_ / "three");
  const auto one = metrics(temp_ / "one"), three = metrics(temp_ / "three");
  for (size_t epoch = 0; epoch < 2; ++epoch) {
    for (const char* key : {"train_loss", "val_loss"}) {
      EXPECT_NEAR(three[epoch][key].get<double>(), one[epoch][key].get<double>(), 1e-4) << key;
    }
  }
}

TEST_F(TrainerTest, StopsWithTheStepNamedWhenTheLossIsNotFinite) {
  config_.optimizer.name = "sgd";
  config_.optimizer.learning_rate = 1e38;
  try {
    train(2, temp_ / "run");
    FAIL() << "was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kDiverged);
    EXPECT_EQ(std::string(error.what()).rfind("step ", 0), 0u);
  }
}

}  // namespace
}  // namespace cifar

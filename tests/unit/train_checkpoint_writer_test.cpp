// Checkpoints written beside the training.
#include <gtest/gtest.h>

#include <filesystem>

#include "refusal.h"
#include "small_run.h"
#include "temp_folder.h"
#include "train/checkpoint_writer.h"

namespace cifar {
namespace {

class CheckpointWriterTest : public testing::Test {
 protected:
  Checkpoint checkpoint(int64_t step) {
    state_.position.step = step;
    state_.flat.parameters().fill_(static_cast<float>(step));
    return take_checkpoint(state_, "");
  }
  Checkpoint written(int64_t step) const {
    return find_checkpoint(temp_ / ("run/checkpoints/step-0000000" + std::to_string(step) + ".pt"),
                           silent_)
        .checkpoint;
  }

  TempFolder temp_;
  Log silent_{1};
  Config config_ = small_config({"flatten", "linear 10"});
  TrainState state_{config_, torch::kCPU};
  RunDirectory directory_{temp_ / "run", "test", false, 0};
};

TEST_F(CheckpointWriterTest, WritesTheStateAsItWasHandedOver) {
  CheckpointWriter writer(directory_);
  for (int64_t step = 1; step <= 3; ++step) writer.submit(checkpoint(step));
  state_.flat.parameters().fill_(100);
  writer.finish();
  for (int64_t step = 1; step <= 3; ++step) {
    const Checkpoint found = written(step);
    EXPECT_EQ(found.position.step, step);
    EXPECT_TRUE(found.model.at("1.bias").eq(static_cast<double>(step)).all().item<bool>());
  }
}

TEST_F(CheckpointWriterTest, WritesTheLastOneThoughNobodyWaits) {
  { CheckpointWriter(directory_).submit(checkpoint(5)); }
  EXPECT_EQ(written(5).position.step, 5);
}

TEST_F(CheckpointWriterTest, TellsAtTheNextCallWhatWentWrong) {
  for (const bool finish : {true, false}) {
    CheckpointWriter writer(directory_);
    std::filesystem::remove_all(temp_ / "run/checkpoints");
    writer.submit(checkpoint(1));
    refusal(ExitCode::kCheckpoint,
            [&] { finish ? writer.finish() : writer.submit(checkpoint(2)); });
    std::filesystem::create_directories(temp_ / "run/checkpoints");
    writer.submit(checkpoint(3));
    writer.finish();
    EXPECT_EQ(written(3).position.step, 3);
  }
}

}  // namespace
}  // namespace cifar

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "obedient_root.h"
#include "refusal.h"
#include "temp_folder.h"
#include "train/run_directory.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr ExitCode kCode = ExitCode::kCheckpoint;

Checkpoint at_step(int64_t step) {
  Checkpoint checkpoint;
  checkpoint.position.step = step;
  checkpoint.model["0.weight"] = torch::full({3}, static_cast<double>(step));
  checkpoint.optimizer = "adam";
  return checkpoint;
}

class RunDirectoryTest : public testing::Test {
 protected:
  RunDirectory directory(int64_t keep = 0, bool resuming = true) const {
    return RunDirectory(path_, "article", resuming, keep);
  }
  std::string checkpoint(const std::string& name) const { return path_ + "/checkpoints/" + name; }
  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_ + "/checkpoints")) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  void cut(const std::string& name) const {
    fs::resize_file(checkpoint(name), fs::file_size(checkpoint(name)) - 10);
  }
  std::string metrics() const { return read_file(path_ + "/metrics.jsonl", kCode); }

  TempFolder temp_;
  std::string path_ = temp_ / "run";
  Log silent_{1};
};

TEST_F(RunDirectoryTest, KeepsTheNewestCheckpoints) {
  for (const int64_t step : {1, 2, 3, 4}) directory(2).write_checkpoint(at_step(step));
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000003.pt", "step-00000004.pt"));
}

TEST_F(RunDirectoryTest, KeepsAllWhenAskedForNoNumber) {
  for (const int64_t step : {1, 2, 3, 4, 5}) directory(0).write_checkpoint(at_step(step));
  EXPECT_EQ(checkpoints().size(), 5u);
}

TEST_F(RunDirectoryTest, KeepsOtherFilesOfTheFolder) {
  make_folder(path_ + "/checkpoints", kCode);
  write_file(checkpoint("best.pt"), "mine", kCode);
  write_file(checkpoint("step-notes.txt"), "mine", kCode);
  for (const int64_t step : {1, 2, 3}) directory(1).write_checkpoint(at_step(step));
  EXPECT_THAT(checkpoints(), ElementsAre("best.pt", "step-00000003.pt", "step-notes.txt"));
}

TEST_F(RunDirectoryTest, StepsBeyondEightDigitsAreTheNewest) {
  for (const int64_t step : {99999999, 100000000}) directory(0).write_checkpoint(at_step(step));
  EXPECT_EQ(newest_checkpoint(path_, silent_)->checkpoint.position.step, 100000000);
}

TEST_F(RunDirectoryTest, FindsTheNewestByRunFolderOrCheckpointFolder) {
  for (const int64_t step : {5, 20}) directory().write_checkpoint(at_step(step));
  for (const std::string& folder : {path_, path_ + "/checkpoints"}) {
    const auto found = newest_checkpoint(folder, silent_);
    ASSERT_TRUE(found);
    EXPECT_THAT(found->file, HasSubstr("step-00000020.pt"));
    EXPECT_EQ(found->checkpoint.position.step, 20);
    EXPECT_EQ(find_checkpoint(folder, silent_).checkpoint.position.step, 20);
  }
  EXPECT_EQ(find_checkpoint(checkpoint("step-00000005.pt"), silent_).checkpoint.position.step, 5);
}

TEST_F(RunDirectoryTest, PassesOverADamagedOneAndNamesIt) {
  for (const int64_t step : {1, 2, 3}) directory().write_checkpoint(at_step(step));
  cut("step-00000003.pt");
  testing::internal::CaptureStderr();
  const auto found = newest_checkpoint(path_, Log(0));
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("warning: "), HasSubstr("step-00000003.pt"), HasSubstr("cut off")));
  EXPECT_EQ(found->checkpoint.position.step, 2);
}

TEST_F(RunDirectoryTest, KeepsASoundOneBesideADamagedOneOfALaterStep) {
  for (const int64_t step : {1, 3}) directory(0).write_checkpoint(at_step(step));
  cut("step-00000003.pt");
  directory(1).write_checkpoint(at_step(2));
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000002.pt", "step-00000003.pt"));
}

TEST_F(RunDirectoryTest, RemovesWhatACrashLeftHalfWritten) {
  directory().write_checkpoint(at_step(1));
  write_file(checkpoint("step-00000002.pt.part"), "half", kCode);
  write_file(path_ + "/config.toml.part", "half", kCode);
  directory();
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000001.pt"));
  EXPECT_FALSE(fs::exists(path_ + "/config.toml.part"));
}

TEST_F(RunDirectoryTest, RefusesWhenAllAreDamaged) {
  for (const int64_t step : {1, 2}) directory().write_checkpoint(at_step(step));
  cut("step-00000001.pt");
  cut("step-00000002.pt");
  EXPECT_THAT(refusal(kCode, [&] { newest_checkpoint(path_, silent_); }),
              HasSubstr("all 2 checkpoints are damaged"));
  EXPECT_THAT(refusal(kCode, [&] { find_checkpoint(checkpoint("step-00000001.pt"), silent_); }),
              HasSubstr("step-00000001.pt"));
}

TEST_F(RunDirectoryTest, FindsNothingWhereNothingIs) {
  EXPECT_FALSE(newest_checkpoint(path_, silent_));
  directory();
  EXPECT_FALSE(newest_checkpoint(path_, silent_));
  EXPECT_THAT(refusal(kCode, [&] { find_checkpoint(path_, silent_); }), HasSubstr("no checkpoint"));
  EXPECT_THAT(refusal(kCode, [&] { find_checkpoint(temp_ / "none.pt", silent_); }),
              HasSubstr("none.pt: No such file"));
}

// A folder stands where the next checkpoint's file would go.
TEST_F(RunDirectoryTest, AFailedWriteLeavesTheOlderCheckpoints) {
  for (const int64_t step : {1, 2}) directory(2).write_checkpoint(at_step(step));
  make_folder(checkpoint("step-00000003.pt") + "/inner", kCode);
  refusal(kCode, [&] { directory(2).write_checkpoint(at_step(3)); });
  fs::remove_all(checkpoint("step-00000003.pt"));
  EXPECT_THAT(checkpoints(), ElementsAre("step-00000001.pt", "step-00000002.pt"));
  EXPECT_EQ(newest_checkpoint(path_, silent_)->checkpoint.position.step, 2);
}

TEST_F(RunDirectoryTest, RefusesARunThatIsThereUnlessItResumes) {
  directory(0, false).write_config("epochs = 3\n");
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { directory(0, false); }),
              HasSubstr("a run is already there"));
  directory(0, true);
  EXPECT_EQ(read_file(path_ + "/config.toml", kCode), "epochs = 3\n");
}

// A folder stands where run.json would go.
TEST_F(RunDirectoryTest, ABeginningThatFailsDoesNotBarTheNextTry) {
  make_folder(path_ + "/run.json/inner", kCode);
  const RunDirectory run = directory(0, false);
  run.write_config("epochs = 3\n");
  EXPECT_THAT(refusal(kCode, [&] { run.write_facts({}); }), HasSubstr("run.json: Is a directory"));
  directory(0, false);
}

TEST_F(RunDirectoryTest, AResumeThatFailsAtItsFirstFileKeepsTheOldOnes) {
  directory(0, false).write_config("epochs = 3\n");
  make_folder(path_ + "/run.json/inner", kCode);
  refusal(kCode, [&] { directory(0, true).write_facts({}); });
  EXPECT_EQ(read_file(path_ + "/config.toml", kCode), "epochs = 3\n");
}

TEST_F(RunDirectoryTest, CheckpointsThatMayNotBeListedAreNotNone) {
  directory().write_checkpoint(at_step(1));
  const ObedientRoot root;
  fs::permissions(path_ + "/checkpoints", fs::perms::none);
  EXPECT_THAT(refusal(kCode, [&] { newest_checkpoint(path_, silent_); }),
              HasSubstr("checkpoints: Permission denied"));
  fs::permissions(path_ + "/checkpoints", fs::perms::owner_all);
}

TEST_F(RunDirectoryTest, RewindsTheMetricsToTheEpoch) {
  const RunDirectory run = directory();
  run.rewind_metrics(7);  // no file yet
  for (const int64_t epoch : {1, 2, 3}) {
    run.append_metrics("{\"epoch\":" + std::to_string(epoch) + "}");
  }
  run.append_metrics("{\"epoch\":3,\"test_loss\":1}");
  run.rewind_metrics(2);
  EXPECT_EQ(metrics(), "{\"epoch\":1}\n{\"epoch\":2}\n");
  run.rewind_metrics(0);
  EXPECT_EQ(metrics(), "");
  run.rewind_metrics(0);
}

TEST_F(RunDirectoryTest, DropsLinesThatAResumedRunWritesAnew) {
  const RunDirectory run = directory();
  run.append_metrics("{\"epoch\":1}");
  run.append_metrics("{\"epoch\":1,\"partial\":true}");
  run.append_metrics("{\"epoch\":1,\"test_loss\":1}");
  run.append_metrics("{\"epoch\":1");
  run.rewind_metrics(100);
  EXPECT_EQ(metrics(), "{\"epoch\":1}\n");
}

TEST_F(RunDirectoryTest, MetricsOnAFullDiskAreAnError) {
  const RunDirectory run = directory();
  fs::create_symlink("/dev/full", path_ + "/metrics.jsonl");
  EXPECT_THAT(refusal(kCode, [&] { run.append_metrics("{}"); }), HasSubstr("metrics.jsonl"));
}

}  // namespace
}  // namespace cifar

// A run directory at any time of its life: before its first epoch, cut off in a line, finished.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "config/load.h"
#include "refusal.h"
#include "report/run_record.h"
#include "temp_folder.h"

namespace cifar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class RunRecordTest : public testing::Test {
 protected:
  std::string make_run(const std::string& name) {
    std::filesystem::create_directories(temp_ / name);
    Config config = article_config();
    config.train.seed = 7;
    write(name + "/config.toml", to_toml(config));
    return temp_ / name;
  }
  void write(const std::string& file, const std::string& text) {
    std::ofstream(temp_ / file) << text;
  }

  TempFolder temp_;
};

constexpr const char* kEpoch =
    R"({"epoch":1,"step":704,"train_loss":1.5,"train_accuracy":0.45,"val_loss":null,)"
    R"("learning_rate":0.001,"images_per_second":100,"seconds_train":2,"seconds_validation":1})";

TEST_F(RunRecordTest, ReadsWhatIsThere) {
  const std::string path = make_run("run");
  write("run/metrics.jsonl", std::string(kEpoch) + "\n" +
                                 R"({"epoch":1,"step":704,"test_loss":1.25,"test_accuracy":0.5})" +
                                 "\n");
  const RunRecord run = read_run(path + "/");
  EXPECT_EQ(run.name, "run");
  EXPECT_EQ(run.config.train.seed, 7);
  ASSERT_EQ(run.epochs.size(), 1);
  EXPECT_EQ(run.epochs[0].step, 704);
  EXPECT_EQ(run.epochs[0].train_loss, 1.5);
  EXPECT_TRUE(std::isnan(run.epochs[0].val_loss));
  EXPECT_TRUE(std::isnan(run.epochs[0].seconds_data));
  EXPECT_EQ(run.whole_epochs(), 1);
  EXPECT_EQ(run.seconds(), 3);
  EXPECT_EQ(run.images_per_second(), 100);
  ASSERT_TRUE(run.test);
  EXPECT_EQ(run.test->accuracy, 0.5);
  EXPECT_FALSE(run.facts);
  EXPECT_EQ(run.unreadable_lines, 0);
}

TEST_F(RunRecordTest, PassesOverHalfALine) {
  const std::string path = make_run("run");
  write("run/metrics.jsonl", std::string(kEpoch) + "\n" + R"({"epoch":2,"step":14)");
  const RunRecord run = read_run(path);
  EXPECT_EQ(run.epochs.size(), 1);
  EXPECT_EQ(run.unreadable_lines, 1);
  EXPECT_FALSE(run.test);
}

TEST_F(RunRecordTest, TakesStrangeValuesForNoNumbers) {
  const std::string path = make_run("run");
  write("run/metrics.jsonl", R"({"epoch":"one","step":1e300,"train_loss":[1],"partial":true})");
  write("run/run.json", R"({"recipe":7})");
  const RunRecord run = read_run(path);
  ASSERT_EQ(run.epochs.size(), 1);
  EXPECT_EQ(run.epochs[0].epoch, 0);
  EXPECT_EQ(run.epochs[0].step, 0);
  EXPECT_TRUE(std::isnan(run.epochs[0].train_loss));
  EXPECT_EQ(run.whole_epochs(), 0);
  EXPECT_FALSE(run.facts);
}

TEST_F(RunRecordTest, HasNothingBeforeTheFirstEpoch) {
  const RunRecord run = read_run(make_run("run"));
  EXPECT_TRUE(run.epochs.empty());
  EXPECT_EQ(run.images_per_second(), 0);
}

TEST_F(RunRecordTest, RefusesWhatIsNoRun) {
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { read_run(temp_.path()); }),
              HasSubstr("no config.toml"));
  make_run("run");
  write("run/config.toml", "[train]\nepochs = \"many\"\n");
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { read_run(temp_ / "run"); }), HasSubstr("epochs"));
}

TEST_F(RunRecordTest, FindsTheRunsOfAFolderOnce) {
  const std::string b = make_run("sweep/b"), a = make_run("sweep/a");
  make_run("sweep/a/inner");
  std::filesystem::create_directories(temp_ / "sweep/empty");
  EXPECT_THAT(find_runs({temp_ / "sweep"}), ElementsAre(a, b));
  EXPECT_THAT(find_runs({b, temp_ / "sweep", b + "/../a"}), ElementsAre(b, a));
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { find_runs({temp_ / "sweep/empty"}); }),
              HasSubstr("no run in it"));
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { find_runs({temp_ / "nowhere"}); }),
              HasSubstr("No such file"));
}

}  // namespace
}  // namespace cifar

// Going on with the images of before, with others, and where nobody says which they were.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "base/files.h"
#include "refusal.h"
#include "small_run.h"
#include "temp_folder.h"
#include "train/data_check.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DataCheck : public testing::Test {
 protected:
  DataCheck() {
    make_folder(temp_ / "checkpoints", ExitCode::kUsage);
    found_.file = temp_ / "checkpoints/step-00000007.pt";
    found_.checkpoint.position.step = 7;
    found_.checkpoint.position.step_in_epoch = 3;
    facts_.data = "here";
    facts_.data_hash = hash_of(dataset_);
  }
  // What the run directory says of before.
  void written(const std::vector<DataUse>& history, const std::string& hash) {
    RunFacts before;
    before.data = "there";
    before.data_hash = hash;
    before.data_history = history;
    std::string json = to_json(before);
    // As versions without a history wrote it.
    if (history.empty()) json.erase(json.find("\"data_history\""), sizeof("\"data_history\": [],"));
    write_file(temp_ / "run.json", json, ExitCode::kUsage);
  }
  // Goes on; returns the warnings.
  std::string go_on() {
    testing::internal::CaptureStderr();
    continue_data_history(found_, dataset_, facts_, Log(0));
    return testing::internal::GetCapturedStderr();
  }
  std::string refused() {
    return refusal(ExitCode::kData,
                   [&] { continue_data_history(found_, dataset_, facts_, Log(0)); });
  }

  TempFolder temp_;
  Dataset dataset_{random_images(30), random_images(20), "here", false};
  FoundCheckpoint found_;
  RunFacts facts_;
};

TEST_F(DataCheck, TheSameImagesGoOn) {
  found_.checkpoint.data_hash = facts_.data_hash;
  const std::vector<DataUse> history = {{0, "there", facts_.data_hash}};
  written(history, facts_.data_hash);
  EXPECT_THAT(go_on(), IsEmpty());
  EXPECT_EQ(facts_.data_history, history);
}

TEST_F(DataCheck, OthersAreRefusedInTheMiddleOfAnEpoch) {
  found_.checkpoint.data_hash = "00";
  written({{0, "there", "00"}}, "00");
  EXPECT_THAT(refused(),
              AllOf(HasSubstr("step-00000007.pt"), HasSubstr("in the middle of an epoch"),
                    HasSubstr("here, hash " + facts_.data_hash), HasSubstr("there, hash 00")));
}

TEST_F(DataCheck, OthersAreWarnedOfAndRememberedAtAnEpochsEnd) {
  found_.checkpoint.position.step_in_epoch = 0;
  found_.checkpoint.data_hash = "00";
  written({{0, "there", "00"}}, "00");
  EXPECT_THAT(go_on(), AllOf(HasSubstr("warning: "), HasSubstr("hash 00")));
  EXPECT_THAT(facts_.data_history,
              ElementsAre(DataUse{0, "there", "00"}, DataUse{7, "here", facts_.data_hash}));
}

TEST_F(DataCheck, TheCheckpointKnowsWithoutItsRunDirectory) {
  found_.checkpoint.data_hash = "00";
  EXPECT_THAT(refused(), HasSubstr("hash 00"));
  found_.checkpoint.data_hash = facts_.data_hash;
  EXPECT_THAT(go_on(), IsEmpty());
}

TEST_F(DataCheck, WhatCameAfterTheCheckpointDoesNotCount) {
  found_.checkpoint.data_hash = facts_.data_hash;
  written({{0, "there", facts_.data_hash}, {7, "elsewhere", "11"}}, "11");
  EXPECT_THAT(go_on(), IsEmpty());
  EXPECT_THAT(facts_.data_history, ElementsAre(DataUse{0, "there", facts_.data_hash}));
}

TEST_F(DataCheck, ACheckpointOfAnOlderVersionGoesByTheRunDirectory) {
  written({}, sampled_hash(dataset_));
  EXPECT_THAT(go_on(), IsEmpty());
  EXPECT_THAT(facts_.data_history, ElementsAre(DataUse{0, "there", facts_.data_hash}));
  written({}, "22");
  EXPECT_THAT(refused(), HasSubstr("there, hash 22"));
}

TEST_F(DataCheck, WhereNobodyKnowsNothingIsCompared) {
  EXPECT_THAT(go_on(), IsEmpty());
  EXPECT_THAT(facts_.data_history, ElementsAre(DataUse{7, "here", facts_.data_hash}));
}

}  // namespace
}  // namespace cifar

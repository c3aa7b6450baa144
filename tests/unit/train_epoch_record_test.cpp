#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "train/epoch_record.h"

namespace cifar {
namespace {

using testing::HasSubstr;
using testing::Not;

// 100 samples of mean loss 1.5, 40 of them right; 50 of them in this process, in 2 s.
EpochRecord record() {
  return {.whole = true,
          .epochs = 20,
          .position = {2, 4, 12, 100, 150, 40},
          .timed_samples = 50,
          .val = {10, 4, 1.25},
          .learning_rate = 0.001,
          .train_seconds = 2,
          .phases = {0.5, 1, 0.25},
          .validation_seconds = 3,
          .checkpoint_seconds = 0.25};
}

TEST(EpochRecord, JsonHoldsTheClosedForms) {
  const auto object = nlohmann::json::parse(record().json());
  EXPECT_EQ(object["epoch"], 3);  // counted from 1 for a person
  EXPECT_EQ(object["step"], 12);
  EXPECT_EQ(object["train_loss"], 1.5);
  EXPECT_EQ(object["train_accuracy"], 0.4);
  EXPECT_EQ(object["val_loss"], 1.25);
  EXPECT_EQ(object["val_accuracy"], 0.4);
  EXPECT_EQ(object["learning_rate"], 0.001);
  EXPECT_EQ(object["images_per_second"], 25);
  EXPECT_EQ(object["seconds_data"], 0.5);
  EXPECT_EQ(object["seconds_compute"], 1);
  EXPECT_EQ(object["seconds_communication"], 0.25);
  EXPECT_EQ(object["seconds_validation"], 3);
  EXPECT_EQ(object["seconds_checkpoint"], 0.25);
}

TEST(EpochRecord, JsonIsOneLineWithTheKeysInOrder) {
  const std::string line = record().json();
  EXPECT_THAT(line, Not(HasSubstr("\n")));
  std::vector<std::string> keys;
  const auto object = nlohmann::ordered_json::parse(line);
  for (const auto& item : object.items()) keys.push_back(item.key());
  EXPECT_EQ(keys[0], "epoch");
  EXPECT_EQ(keys[1], "step");
  EXPECT_EQ(keys[2], "train_loss");
}

TEST(EpochRecord, WithoutAValidationSplitThereIsNoLoss) {
  EpochRecord without = record();
  without.val = {};
  const auto object = nlohmann::json::parse(without.json());
  EXPECT_TRUE(object["val_loss"].is_null());
  EXPECT_TRUE(object["val_accuracy"].is_null());
  EXPECT_THAT(without.text(), Not(HasSubstr("val")));
}

// A resume at the very end of an epoch: nothing of it was run here.
TEST(EpochRecord, NothingTimedIsNoRate) {
  EpochRecord nothing = record();
  nothing.timed_samples = 0;
  nothing.train_seconds = 0;
  EXPECT_EQ(nlohmann::json::parse(nothing.json())["images_per_second"], 0);
}

TEST(EpochRecord, TextIsTheLineForAPerson) {
  EXPECT_EQ(record().text(),
            "epoch   3/20  train loss 1.5000 accuracy 0.4000  val loss 1.2500 accuracy 0.4000  "
            "25 images/s  5.0 s");
}

TEST(EpochRecord, SaysWhenItWasBrokenOff) {
  EXPECT_FALSE(nlohmann::json::parse(record().json()).contains("partial"));
  EpochRecord part = record();
  part.whole = false;
  part.val = {};
  EXPECT_EQ(nlohmann::json::parse(part.json())["partial"], true);
  EXPECT_THAT(part.text(), HasSubstr("broken off at step 12"));
}

TEST(TestJson, HasLossAndAccuracy) {
  const auto object = nlohmann::json::parse(test_json({20, 0, 14080, 0, 0, 0}, {10000, 7100, 1.5}));
  EXPECT_EQ(object["epoch"], 20);
  EXPECT_EQ(object["step"], 14080);
  EXPECT_EQ(object["test_loss"], 1.5);
  EXPECT_EQ(object["test_accuracy"], 0.71);
  EXPECT_EQ(object["tta"], "none");
}

TEST(TestJson, NamesTheTestTimeAugmentation) {
  TrainConfig train;
  train.tta = "shift";
  train.tta_uncertain = 0.2;
  const auto object = nlohmann::json::parse(
      test_json({20, 0, 14080, 0, 0, 0}, {10000, 7100, 1.5}, TestTimeAugmentation(train)));
  EXPECT_EQ(object["tta"], "shift");
  EXPECT_EQ(object["tta_uncertain"], 0.2);
}

}  // namespace
}  // namespace cifar

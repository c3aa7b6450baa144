// The table of the steps to come: each step finds its own values and scalars in the same place.
#include <gtest/gtest.h>

#include "optim/update.h"
#include "small_run.h"
#include "train/run_plan.h"
#include "train/step_table.h"

namespace cifar {
namespace {

class StepTableTest : public testing::Test {
 protected:
  static Config config() {
    Config config = small_config({"flatten", "linear 10"});
    OptimizerConfig sgd = config.optimizer, adam = config.optimizer;
    sgd.name = "sgd";
    sgd.parameters = {"*.bias"};
    sgd.momentum = 0.5;
    adam.parameters = {"*.weight"};
    config.optimizers = {sgd, adam};
    return config;
  }

  Config config_ = config();
  TrainState state_{config_, torch::kCPU};
  StepTable table_{state_.groups, /*capacity=*/3, torch::kCPU};
};

TEST_F(StepTableTest, EachStepFindsItsOwn) {
  table_.load({{{0, 4}, {.first = 0, .step = 8, .epoch = 2, .seed = 42}, {0.5, 0.25}},
               {{4, 4}, {.first = 4, .step = 9, .epoch = 2, .seed = 42}, {0.125, 0.0625}}},
              /*updates=*/7);
  const StepValues* place = table_.values();
  for (int64_t i = 0; i < 2; ++i) {
    table_.next();
    EXPECT_EQ(table_.values(), place);
    EXPECT_EQ(place->first, 4 * i);
    EXPECT_EQ(place->step, 8 + i);
    EXPECT_EQ(place->epoch, 2);
    EXPECT_EQ(place->seed, 42u);
    const auto* sgd = static_cast<const SgdScalars*>(table_.scalars(0).const_data_ptr());
    EXPECT_EQ(sgd->learning_rate, i == 0 ? 0.5f : 0.125f);
    EXPECT_EQ(sgd->momentum, 0.5f);
    // Adam's corrections are of the eighth and the ninth update.
    const auto* adam = static_cast<const AdamScalars*>(table_.scalars(1).const_data_ptr());
    const double rate = i == 0 ? 0.25 : 0.0625;
    EXPECT_FLOAT_EQ(adam->step_size, static_cast<float>(rate / (1 - std::pow(0.9, 8.0 + i))));
  }
}

TEST_F(StepTableTest, StartsAnewWithEachLoad) {
  const StepPlan plan{{0, 4}, {.step = 1}, {1, 1}};
  table_.load({plan, plan}, 0);
  table_.next();
  table_.load({{{0, 4}, {.step = 5}, {1, 1}}}, 4);
  table_.next();
  EXPECT_EQ(table_.values()->step, 5);
}

TEST_F(StepTableTest, RefusesMoreStepsThanItHolds) {
  const StepPlan plan{{0, 4}, {}, {1, 1}};
  EXPECT_THROW(table_.load({plan, plan, plan, plan}, 0), c10::Error);
}

TEST(RunPlan, IsTheEpochsSteps) {
  Config config = small_config({"flatten", "linear 10"});
  config.train.batch_size = 16;
  config.train.epochs = 3;
  config.schedule.name = "linear";
  const TrainState state(config, torch::kCPU);
  const RunPlan plan(config, 40, state.groups);
  EXPECT_EQ(plan.steps_per_epoch(), 3);
  EXPECT_EQ(plan.total_steps(), 9);
  EXPECT_EQ(plan.total_samples(), 120);
  Position at;
  at.epoch = 1;
  at.step_in_epoch = 1;
  at.step = 4;
  const auto rest = plan.rest_of_epoch(at);
  ASSERT_EQ(rest.size(), 2u);
  EXPECT_EQ(rest[0].samples.first, 16);
  EXPECT_EQ(rest[0].values.first, 16);
  EXPECT_EQ(rest[0].values.step, 5);
  EXPECT_EQ(rest[0].values.epoch, 1);
  EXPECT_EQ(rest[1].samples.count, 8);
  EXPECT_DOUBLE_EQ(rest[0].learning_rates[0], 0.001 * (1 - 4.0 / 9));
  config.train.drop_last = true;
  const RunPlan whole(config, 40, state.groups);
  EXPECT_EQ(whole.steps_per_epoch(), 2);
  EXPECT_EQ(whole.total_samples(), 96);
}

}  // namespace
}  // namespace cifar

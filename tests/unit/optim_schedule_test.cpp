// Schedules against the numbers of torch.optim.lr_scheduler, and the warm-up against its formula.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "optim/schedule.h"
#include "optim_reference.h"

namespace cifar {
namespace {

constexpr double kBase = 0.4;
constexpr int64_t kRunSteps = 12;
constexpr int64_t kStepsPerEpoch = 2;

ScheduleConfig schedule(const std::string& name) {
  ScheduleConfig config;
  config.name = name;
  return config;
}

double rate(const ScheduleConfig& config, int64_t step, int64_t total_steps = kRunSteps) {
  return learning_rate_at(config, kBase, step, total_steps, kStepsPerEpoch);
}

void expect_rates(const ScheduleConfig& config, const std::vector<double>& expected) {
  for (int64_t step = 0; step < kRunSteps; ++step) {
    const double value = expected[static_cast<size_t>(step)];
    EXPECT_NEAR(rate(config, step), value, 1e-12 * kBase) << config.name << " at step " << step;
  }
}

template <typename Call>
void expect_refused(Call call, const std::string& subject) {
  try {
    call();
    FAIL() << subject << " was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_EQ(std::string(error.what()).rfind(subject + ": ", 0), 0u) << error.what();
  }
}

TEST(Schedule, ConstantStays) {
  expect_rates(schedule("constant"), std::vector(kRunSteps, kBase));
}

TEST(Schedule, StepIsTorchStepLR) {
  ScheduleConfig config = schedule("step");
  config.step_epochs = 2;  // 4 steps
  config.step_factor = 0.3;
  expect_rates(config, reference::step_by_4);
}

TEST(Schedule, CosineIsTorchCosineAnnealingLR) {
  ScheduleConfig config = schedule("cosine");
  config.final_factor = 0.05;
  expect_rates(config, reference::cosine_12);
}

TEST(Schedule, OneCycleIsTorchOneCycleLR) {
  ScheduleConfig config = schedule("one-cycle");
  config.final_factor = 0.01;
  expect_rates(config, reference::one_cycle_12);

  config.one_cycle_start_factor = 0.5;
  config.one_cycle_peak = 1;
  config.final_factor = 0.1;
  expect_rates(config, reference::one_cycle_12_peak_at_end);
}

// Where torch.optim.lr_scheduler divides by zero.
TEST(Schedule, OneCycleWithNoRoomToRiseStartsAtThePeak) {
  ScheduleConfig config = schedule("one-cycle");
  config.one_cycle_peak = 0.25;
  EXPECT_DOUBLE_EQ(rate(config, 0, 4), kBase);
  EXPECT_DOUBLE_EQ(rate(config, 3, 4), 0);
  config.one_cycle_peak = 1;
  EXPECT_DOUBLE_EQ(rate(config, 0, 1), kBase);
}

TEST(Schedule, LinearFallsToTheFinalFactor) {
  std::vector<double> expected;
  for (int64_t step = 0; step < kRunSteps; ++step) {
    expected.push_back(kBase * (1 - static_cast<double>(step) / kRunSteps));
  }
  ScheduleConfig config = schedule("linear");
  expect_rates(config, expected);
  config.final_factor = 0.2;
  EXPECT_DOUBLE_EQ(rate(config, kRunSteps / 2, kRunSteps), kBase * 0.6);
  config.warmup_epochs = 2;  // 4 steps
  EXPECT_DOUBLE_EQ(rate(config, 1, 14), kBase / 2);
  EXPECT_DOUBLE_EQ(rate(config, 4, 14), kBase);
  EXPECT_DOUBLE_EQ(rate(config, 9, 14), kBase * 0.6);
}

TEST(Schedule, AnOptimizersOwnEndsAtItsEpoch) {
  OptimizerConfig optimizer;
  optimizer.learning_rate = kBase;
  optimizer.until_epoch = 3;
  const auto rate_at = [&](int64_t step) {
    return learning_rate_of(optimizer, schedule("linear"), 64, step, 20, 2);
  };
  EXPECT_DOUBLE_EQ(rate_at(0), kBase);
  EXPECT_DOUBLE_EQ(rate_at(3), kBase / 2);
  EXPECT_DOUBLE_EQ(rate_at(5), kBase / 6);
  EXPECT_EQ(rate_at(6), 0);
  EXPECT_EQ(rate_at(19), 0);
  optimizer.until_epoch = 0;
  EXPECT_DOUBLE_EQ(rate_at(15), kBase / 4);
  optimizer.scale_learning_rate = "linear";
  optimizer.reference_batch_size = 32;
  EXPECT_DOUBLE_EQ(rate_at(0), 2 * kBase);
}

TEST(Schedule, WarmupGrowsLinearlyToTheBase) {
  ScheduleConfig config = schedule("constant");
  config.warmup_epochs = 2.5;  // 5 steps
  expect_rates(config, {kBase / 5, kBase * 2 / 5, kBase * 3 / 5, kBase * 4 / 5, kBase, kBase, kBase,
                        kBase, kBase, kBase, kBase, kBase});
}

TEST(Schedule, WarmupLiesOverStep) {
  ScheduleConfig config = schedule("step");
  config.warmup_epochs = 1;  // 2 steps
  config.step_epochs = 2;
  config.step_factor = 0.3;
  std::vector<double> expected = reference::step_by_4;
  expected[0] /= 2;
  expect_rates(config, expected);
}

TEST(Schedule, CosineRunsOverTheStepsAfterWarmup) {
  ScheduleConfig config = schedule("cosine");
  config.final_factor = 0.05;
  config.warmup_epochs = 2;  // 4 steps
  for (int64_t step = 0; step < kRunSteps; ++step) {
    const double expected = reference::cosine_12[static_cast<size_t>(step)];
    EXPECT_NEAR(rate(config, step + 4, kRunSteps + 4), expected, 1e-12 * kBase);
  }
  EXPECT_DOUBLE_EQ(rate(config, 0, kRunSteps + 4), kBase / 4);
  EXPECT_DOUBLE_EQ(rate(config, 3, kRunSteps + 4), kBase);
}

TEST(Schedule, WarmupLongerThanTheRunStaysOnTheRamp) {
  ScheduleConfig config = schedule("cosine");
  config.warmup_epochs = 10;  // 20 steps
  EXPECT_DOUBLE_EQ(rate(config, kRunSteps - 1), kBase * kRunSteps / 20);
}

TEST(Schedule, RefusesWarmupBeforeOneCycleAndUnknownNames) {
  ScheduleConfig config = schedule("one-cycle");
  config.warmup_epochs = 1;
  expect_refused([&] { rate(config, 0); }, "schedule.warmup_epochs");
  expect_refused([&] { rate(schedule("cosin"), 0); }, "schedule.name");
}

TEST(ScaledLearningRate, FollowsTheBatch) {
  OptimizerConfig config;
  config.learning_rate = 0.1;
  config.reference_batch_size = 64;
  EXPECT_DOUBLE_EQ(scaled_learning_rate(config, 1024), 0.1);
  config.scale_learning_rate = "linear";
  EXPECT_DOUBLE_EQ(scaled_learning_rate(config, 1024), 1.6);
  EXPECT_DOUBLE_EQ(scaled_learning_rate(config, 16), 0.025);
  config.scale_learning_rate = "sqrt";
  EXPECT_DOUBLE_EQ(scaled_learning_rate(config, 1024), 0.4);
  config.scale_learning_rate = "cube";
  expect_refused([&] { scaled_learning_rate(config, 1024); }, "optimizer.scale_learning_rate");
}

}  // namespace
}  // namespace cifar

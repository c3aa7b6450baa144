#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "model/network.h"
#include "refusal.h"
#include "train/meter.h"

namespace cifar {
namespace {

using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class MeterTest : public testing::Test {
 protected:
  // Reduced numbers as a step leaves them: gradients that are not zero, and the metrics.
  void step(int64_t step, int64_t samples, float loss, float correct, float stops = 0,
            float checkpoints = 0) {
    flat_.gradients().fill_(0.5);
    flat_.metrics().copy_(torch::tensor({loss, correct, stops, checkpoints}));
    add(step, samples);
  }
  void spoil(int64_t step, int64_t element, float value) {
    flat_.gradients().fill_(0.5);
    flat_.metrics().zero_();
    flat_.reduced()[element] = value;
    add(step, 4);
  }
  void add(int64_t step, int64_t samples) {
    const StepValues now{.step = step};
    meter_->add(&now, samples);
  }

  Network network_{{"flatten", "linear 10"}, {3, 32, 32}, 10, 42};
  FlatState flat_{network_, torch::kCPU};
  std::optional<Meter> meter_{flat_};
  Position position_;
};

TEST_F(MeterTest, SumsLossTimesSamplesAndRightAnswers) {
  step(1, 64, 2.0f, 10);
  step(2, 64, 1.0f, 30);
  EXPECT_FALSE(meter_->read(position_).stop);
  EXPECT_EQ(position_.loss_sum, 192);
  EXPECT_EQ(position_.correct, 40);
  step(3, 8, 0.5f, 8);  // the short batch weighs less
  EXPECT_FALSE(meter_->read(position_).stop);
  EXPECT_EQ(position_.loss_sum, 196);
  EXPECT_EQ(position_.correct, 48);
  EXPECT_FALSE(meter_->read(position_).stop);
  EXPECT_EQ(position_.loss_sum, 196);
}

TEST_F(MeterTest, TellsOnceThatARankWasAskedToStop) {
  step(1, 4, 1, 1, 1);
  step(2, 4, 1, 1, 0);
  EXPECT_TRUE(meter_->read(position_).stop);
  step(3, 4, 1, 1, 0);
  EXPECT_FALSE(meter_->read(position_).stop);
}

TEST_F(MeterTest, TellsOnceThatARankWantsACheckpoint) {
  step(1, 4, 1, 1, 0, 1);
  const Wishes wishes = meter_->read(position_);
  EXPECT_TRUE(wishes.checkpoint);
  EXPECT_FALSE(wishes.stop);
  step(2, 4, 1, 1);
  EXPECT_FALSE(meter_->read(position_).checkpoint);
}

TEST_F(MeterTest, NamesTheFirstStepThatWasNotFinite) {
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    for (const int64_t element : {int64_t{0}, int64_t{12345}, flat_.gradients().numel()}) {
      SCOPED_TRACE(testing::Message() << bad << " at " << element);
      meter_.emplace(flat_);
      step(5, 4, 1, 1);
      spoil(6, element, bad);
      step(7, 4, 1, 1);
      spoil(8, element, bad);
      EXPECT_THAT(refusal(ExitCode::kDiverged, [&] { meter_->read(position_); }),
                  HasSubstr("step 6: the loss or a gradient is not finite"));
    }
  }
}

TEST_F(MeterTest, InfinitiesOfBothSignsDoNotHideEachOther) {
  spoil(1, 0, kInfinity);
  spoil(2, 0, 0);
  flat_.reduced()[0] = kInfinity;
  flat_.reduced()[1] = -kInfinity;
  add(3, 4);
  EXPECT_THAT(refusal(ExitCode::kDiverged, [&] { meter_->read(position_); }), HasSubstr("step 1"));
}

TEST_F(MeterTest, ABadStepLeavesThePositionAlone) {
  step(1, 4, kNan, 1);
  refusal(ExitCode::kDiverged, [&] { meter_->read(position_); });
  EXPECT_EQ(position_.loss_sum, 0);
}

TEST_F(MeterTest, LargeFiniteGradientsAreNoAlarm) {
  spoil(1, 0, 1e30f);
  EXPECT_FALSE(meter_->read(position_).stop);
}

}  // namespace
}  // namespace cifar

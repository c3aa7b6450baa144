// What repeated trainings come to, against numbers worked out by hand.
#include <gmock/gmock.h>

#include "report/repeats.h"

namespace cifar {
namespace {

RepeatedRecipe recipe() {
  RepeatedRecipe recipe;
  recipe.name = "94";
  recipe.hardware = "H100";
  recipe.target = 0.94;
  return recipe;
}

const std::vector<Repeat> kRepeats = {
    {1, 0.93, 0.5, 3}, {2, 0.94, 0.5, 1}, {3, 0.95, 0.5, 2}, {4, 0.94, 0.5, 9}};

TEST(Repeats, APercentileIsTheNearestRank) {
  EXPECT_EQ(percentile({5}, 0.95), 5);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.5), 2);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.51), 3);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 1), 4);
  EXPECT_EQ(percentile({4, 1, 3, 2}, 0.01), 1);
}

TEST(Repeats, TheSummaryHasItsN) {
  // Deviations -1, 0, 1, 0 points around 94: sqrt(2 / 3).
  EXPECT_EQ(summary_of(recipe(), kRepeats),
            "94: 94.00 % of the test images right (mean, sd 0.82, n = 4), 75 % of the runs at 94 % "
            "or over, 2.00 s (median; p95 9.00) on H100, 1 rank");
  RepeatedRecipe two = recipe();
  two.ranks = 2;
  EXPECT_EQ(summary_of(two, {kRepeats[0]}),
            "94: 93.00 % of the test images right (n = 1), 0 % of the runs at 94 % or over, 3.00 s "
            "(median; p95 3.00) on H100, 2 ranks");
}

TEST(Repeats, TheJsonHasEveryRun) {
  const auto json = json_of(recipe(), kRepeats);
  EXPECT_EQ(json.at("n"), 4);
  EXPECT_DOUBLE_EQ(json.at("accuracy_mean"), 0.94);
  EXPECT_NEAR(json.at("accuracy_deviation"), std::sqrt(2.0 / 3) / 100, 1e-12);
  EXPECT_EQ(json.at("share_at_target"), 0.75);
  EXPECT_EQ(json.at("seconds_median"), 2);
  EXPECT_EQ(json.at("seconds_p95"), 9);
  EXPECT_TRUE(json.at("commit").is_null());
  ASSERT_EQ(json.at("runs").size(), 4u);
  EXPECT_EQ(json.at("runs")[2].at("seed"), 3);
  EXPECT_TRUE(json_of(recipe(), {kRepeats[0]}).at("accuracy_deviation").is_null());
}

}  // namespace
}  // namespace cifar

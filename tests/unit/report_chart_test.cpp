// Axes by what a reader expects of them, charts by where their points lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "report/axis.h"
#include "report/chart.h"

namespace cifar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> all;
  for (const double tick : axis.ticks) all.push_back(axis.label(tick));
  return all;
}

TEST(Axis, TakesRoundNumbersAroundTheValues) {
  EXPECT_THAT(labels(make_axis(0.93, 1.87, 4)), ElementsAre("0.5", "1.0", "1.5", "2.0"));
  EXPECT_THAT(labels(make_axis(0, 5400, 4)), ElementsAre("0", "2,000", "4,000", "6,000"));
  EXPECT_THAT(labels(make_axis(0, 0.001, 4)), ElementsAre("0.0000", "0.0005", "0.0010"));
  EXPECT_THAT(labels(make_axis(0, 3e-7, 3)), ElementsAre("0", "1e-07", "2e-07", "3e-07"));
}

TEST(Axis, OfEpochsHasWholeNumbers) {
  EXPECT_THAT(labels(make_axis(1, 3, 6, true)), ElementsAre("1", "2", "3"));
  EXPECT_THAT(labels(make_axis(1, 20, 6, true)), ElementsAre("0", "5", "10", "15", "20"));
}

// Steps of less than the values' rounding cannot be counted: the loop over them never ended.
TEST(Axis, TakesValuesThatDifferByRoundingForOne) {
  for (const double value : {0.1, 2.302585, 1e9, -5.0}) {
    const Axis axis =
        make_axis(value, std::nextafter(value, std::numeric_limits<double>::infinity()), 4);
    EXPECT_LT(axis.ticks.size(), 20u) << value;
    EXPECT_GT(axis.place(value), 0) << value;
    EXPECT_LT(axis.place(value), 1) << value;
  }
}

TEST(Axis, GivesEqualValuesRoom) {
  for (const double value : {0.0, 0.7, -3.0, 1e-4}) {
    const Axis axis = make_axis(value, value, 4);
    EXPECT_GT(axis.place(value), 0) << value;
    EXPECT_LT(axis.place(value), 1) << value;
  }
}

TEST(LineChart, DrawsFromTheFirstEpochToTheLast) {
  const LineChart chart{"Loss", "epoch", {{"train <1>", {{1, 2}, {2, 1}, {3, 0}}}}};
  const std::string svg = chart.svg();
  // The right edge is 460 - 16; the plot is 190 high and begins at 34.
  EXPECT_THAT(svg, HasSubstr("L444.0 224.0"));
  EXPECT_THAT(svg, HasSubstr("<title>train &lt;1&gt;</title>"));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(LineChart, LeavesOutWhatIsNoNumber) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const LineChart chart{"Loss", "epoch", {{"a", {{1, nan}, {2, 1}}}, {"b", {{1, nan}}}}};
  EXPECT_THAT(chart.svg(), Not(HasSubstr("nan")));
}

TEST(LineChart, SaysThatThereIsNothingYet) {
  EXPECT_THAT((LineChart{"Loss", "epoch", {{"a", {}}}}).svg(), HasSubstr("nothing to show yet"));
}

TEST(DotChart, ShowsEachSeedAndTheSpread) {
  const DotChart chart{"Accuracy", {{"max-2", {0.5, 0.6}}, {"sum-2", {}}}};
  const std::string svg = chart.svg();
  EXPECT_THAT(svg, HasSubstr("55.0 ± 7.1 %"));
  size_t dots = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++dots;
  EXPECT_EQ(dots, 2);
}

TEST(DotChart, KeepsTheEndOfALongName) {
  const std::string svg =
      DotChart{"Accuracy", {{"/a/very/long/path/to/the/runs/max-2", {0.5}}}}.svg();
  EXPECT_THAT(svg, HasSubstr("…ath/to/the/runs/max-2"));
  EXPECT_THAT(svg, Not(HasSubstr("very")));
}

TEST(SvgFile, BringsItsStyle) {
  const std::string file = svg_file(DotChart{"Accuracy", {{"a", {0.5}}}}.svg());
  EXPECT_TRUE(file.starts_with("<svg"));
  EXPECT_THAT(file, HasSubstr("prefers-color-scheme"));
}

}  // namespace
}  // namespace cifar

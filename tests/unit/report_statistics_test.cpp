// Against closed forms of Student's distribution, printed tables and a worked example.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "report/statistics.h"

namespace cifar {
namespace {

TEST(Spread, IsMeanAndSampleDeviation) {
  const Spread spread = spread_of({2, 4, 4, 4, 5, 5, 7, 9});
  EXPECT_EQ(spread.count, 8);
  EXPECT_DOUBLE_EQ(spread.mean, 5);
  EXPECT_DOUBLE_EQ(spread.deviation, std::sqrt(32.0 / 7));
}

TEST(Spread, OfOneNumberIsNone) {
  EXPECT_EQ(spread_of({3}).mean, 3);
  EXPECT_EQ(spread_of({3}).deviation, 0);
  EXPECT_EQ(spread_of({}).count, 0);
}

// One degree of freedom is Cauchy's distribution, two have an algebraic closed form.
TEST(Student, HasTheClosedForms) {
  for (const double t : {0.0, 0.1, 1.0, 2.5, 31.0, 1000.0}) {
    SCOPED_TRACE(t);
    EXPECT_NEAR(student_p(t, 1), 1 - 2 * std::atan(t) / std::numbers::pi, 1e-12);
    EXPECT_NEAR(student_p(-t, 2), 1 - t / std::sqrt(2 + t * t), 1e-12);
  }
}

// NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, which has three decimals.
TEST(Student, HasTheTablesCriticalValues) {
  EXPECT_NEAR(student_p(12.706, 1), 0.05, 1e-4);
  EXPECT_NEAR(student_p(2.228, 10), 0.05, 1e-4);
  EXPECT_NEAR(student_p(2.750, 30), 0.01, 1e-4);
  EXPECT_NEAR(student_p(1.984, 100), 0.05, 1e-4);
}

// Equal deviations and counts: Welch's test is Student's with 2n - 2 degrees of freedom.
TEST(Welch, OfEqualSpreadsIsStudents) {
  const Spread a{5, 10, 2}, b{5, 12, 2};
  EXPECT_NEAR(welch_p(a, b), student_p(2 / (2 * std::sqrt(2.0 / 5)), 8), 1e-12);
  EXPECT_DOUBLE_EQ(welch_p(a, b), welch_p(b, a));
}

// By hand: variances of the means 1/4 and 9/9, t = 3 / sqrt(1.25), and
// 1.25^2 / (0.25^2 / 3 + 1^2 / 8) = 10.714... degrees of freedom.
TEST(Welch, CountsTheDegreesOfFreedom) {
  EXPECT_NEAR(welch_p({4, 20, 1}, {9, 17, 3}),
              student_p(3 / std::sqrt(1.25), 1.5625 / (0.0625 / 3 + 0.125)), 1e-12);
}

TEST(Welch, WithoutAnySpreadOnlyEqualMeansAgree) {
  EXPECT_EQ(welch_p({2, 1, 0}, {2, 1, 0}), 1);
  EXPECT_EQ(welch_p({2, 1, 0}, {2, 2, 0}), 0);
}

// Holm's own rule: 0.01 <= 0.05/4, 0.015 <= 0.05/3, 0.03 > 0.05/2, and what comes after is not
// looked at, although 0.04 <= 0.05/1.
TEST(Holm, StopsAtTheFirstThatIsNot) {
  EXPECT_EQ(holm({0.03, 0.01, 0.04, 0.015}, 0.05), (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(holm({}, 0.05), std::vector<bool>{});
}

}  // namespace
}  // namespace cifar

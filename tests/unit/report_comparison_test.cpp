// The sentence that answers a sweep's question, and what may be compared with what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"
#include "report/comparison.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

RunRecord run(const std::string& name, int64_t seed, double accuracy) {
  RunRecord run;
  run.path = "/runs/" + name;
  run.name = name;
  run.config = article_config();
  run.config.data.path = "/data";
  run.config.train.seed = seed;
  if (accuracy > 0) run.test = TestLine{1, accuracy};
  return run;
}

RunRecord with_layers(RunRecord run, const std::vector<std::string>& layers) {
  run.config.model.layers = layers;
  return run;
}

const std::vector<std::string> kOther = {"flatten", "linear 10"};

// --- the answer

TEST(Answer, CallsADifferenceInsideTheNoiseThat) {
  // t = 1 / sqrt(2 * 16 / 3) = 0.31 on 4 degrees of freedom: p = 0.77.
  EXPECT_THAT(answer({{"max-2", {3, 0.70, 0.04}}, {"sum-2", {3, 0.71, 0.04}}}),
              AllOf(HasSubstr("sum-2 has 71.0 ± 4.0 %"), HasSubstr("3 seeds"),
                    HasSubstr("lead over max-2 (1.0 points) cannot be told from noise"),
                    HasSubstr("Welch"), Not(HasSubstr("Holm"))));
}

TEST(Answer, CallsADifferenceBeyondTheNoiseThat) {
  // t = 10 / sqrt(2 * 1 / 3) = 12.2 on 4 degrees of freedom: p = 0.0003.
  EXPECT_THAT(answer({{"max-2", {3, 0.70, 0.01}}, {"sum-2", {3, 0.60, 0.01}}}),
              AllOf(HasSubstr("max-2 has 70.0 ± 1.0 %"),
                    HasSubstr("ahead of sum-2 (10.0 points) by more than noise explains"),
                    Not(HasSubstr("told from"))));
}

// p = 0.026 for each alone (t = 3.46 on 4); of two, the smaller would have to be below 0.025.
TEST(Answer, CorrectsForTheNumberOfComparisons) {
  const Score best{"a", {3, 0.70, 0.0122474}}, one{"b", {3, 0.6654, 0.0122474}};
  EXPECT_THAT(answer({best, one}), HasSubstr("more than noise"));
  EXPECT_THAT(answer({best, one, {"c", {3, 0.6654, 0.0122474}}}),
              AllOf(HasSubstr("b (3.5 points) and c (3.5 points) cannot be told from noise"),
                    HasSubstr("Holm's correction for 2 comparisons")));
}

TEST(Answer, WithOneSeedNoSpreadIsKnown) {
  EXPECT_THAT(
      answer({{"a", {1, 0.7, 0}}, {"b", {1, 0.5, 0}}}),
      AllOf(HasSubstr("a has 70.0 % of the test images right and is first, ahead of b (20.0"),
            HasSubstr("no spread is known"), Not(HasSubstr("Welch"))));
}

TEST(Answer, LeavesOutWhatHasNotFinished) {
  EXPECT_EQ(answer({{"a", {}}, {"b", {1, 0.5, 0}}}), "b has 50.0 % of the test images right.");
  EXPECT_EQ(answer({{"a", {}}}), "No run has finished yet.");
}

// --- groups

TEST(Groups, AreRunsThatDifferInTheSeedAlone) {
  auto other_place = run("max-2-seed-43", 43, 0.6);
  other_place.config.run.directory = "elsewhere";
  other_place.config.train.threads = 4;
  const auto groups = group_runs({run("max-2-seed-42", 42, 0.5), other_place,
                                  with_layers(run("none-seed-42", 42, 0.3), kOther)});
  ASSERT_EQ(groups.size(), 2);
  EXPECT_EQ(groups[0].name, "max-2");
  EXPECT_THAT(groups[0].test_accuracies(), ElementsAre(0.5, 0.6));
  EXPECT_EQ(groups[0].parameters, 113738);
  EXPECT_EQ(groups[1].name, "none");
  EXPECT_EQ(groups[1].parameters, 30730);
  EXPECT_EQ(groups[1].multiply_adds, 30720);
  EXPECT_THAT(comparison_warnings(groups), IsEmpty());
}

TEST(Groups, OfOneNameAreToldByTheirPaths) {
  auto longer = run("a-seed-42", 42, 0.5);
  longer.path = "/other/a-seed-42";
  longer.config.train.epochs = 30;
  const auto groups = group_runs({run("a-seed-42", 42, 0.5), longer});
  ASSERT_EQ(groups.size(), 2);
  EXPECT_EQ(groups[0].name, "/runs/a");
  EXPECT_EQ(groups[1].name, "/other/a");
  EXPECT_THAT(comparison_warnings(groups), ElementsAre(HasSubstr("epochs: 20, 30")));
}

TEST(Warnings, NameOtherData) {
  auto other = run("a-seed-43", 43, 0.5);
  other.config.data.path = "synthetic";
  EXPECT_THAT(comparison_warnings(group_runs({run("a-seed-42", 42, 0.5), other})),
              ElementsAre(AllOf(HasSubstr("Different data"), HasSubstr("/data and synthetic"))));
}

// The same images in two folders are the same data.
TEST(Warnings, GoByTheImagesWhereTheyAreKnown) {
  auto one = run("a-seed-42", 42, 0.5), two = run("a-seed-43", 43, 0.5);
  two.config.data.path = "/copy";
  one.facts = RunFacts{};
  one.facts->data_hash = "11";
  two.facts = one.facts;
  EXPECT_THAT(comparison_warnings(group_runs({one, two})), IsEmpty());
  two.facts->data_hash = "22";
  EXPECT_THAT(comparison_warnings(group_runs({one, two})),
              ElementsAre(HasSubstr("Different data")));
}

TEST(Warnings, NameUnfinishedRunsAndSeedsThatAreThereTwice) {
  EXPECT_THAT(comparison_warnings(group_runs({run("a-seed-42", 42, 0.5), run("b-seed-42", 42, 0)})),
              ElementsAre(HasSubstr("seed 42 is there twice"), HasSubstr("1 of 2 runs is not")));
}

// Welch's test would otherwise take copies of one run for a spread of nothing.
TEST(Groups, CountASeedOnce) {
  const auto groups =
      group_runs({run("a-seed-42", 42, 0.5), run("b-seed-42", 42, 0.5), run("a-seed-43", 43, 0.7)});
  ASSERT_EQ(groups.size(), 1u);
  EXPECT_THAT(groups[0].test_accuracies(), ElementsAre(0.5, 0.7));
}

}  // namespace
}  // namespace cifar

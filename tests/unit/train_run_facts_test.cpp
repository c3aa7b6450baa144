#include <gtest/gtest.h>

#include "small_run.h"
#include "train/run_facts.h"

namespace cifar {
namespace {

// Labels go 0, 1, ... 9, 0, ...
Dataset dataset(int64_t train) {
  return {random_images(train), random_images(200), "a \"folder\"", false};
}

RunFacts facts_of(const Dataset& dataset) {
  RunFacts facts;
  describe_data(dataset, {{0, 1, 11, 21}, {5}}, facts);
  return facts;
}

TEST(RunFacts, CountTheClassesOfTheSplits) {
  const RunFacts facts = facts_of(dataset(300));
  EXPECT_EQ(facts.train, (ClassCounts{1, 3}));
  EXPECT_EQ(facts.val, (ClassCounts{0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(facts.test, (ClassCounts{20, 20, 20, 20, 20, 20, 20, 20, 20, 20}));
}

TEST(RunFacts, HashTellsDataApart) {
  EXPECT_EQ(facts_of(dataset(300)).data_hash, facts_of(dataset(300)).data_hash);
  EXPECT_NE(facts_of(dataset(300)).data_hash, facts_of(dataset(301)).data_hash);
  Dataset other_test = dataset(300);
  other_test.test = random_images(201);
  EXPECT_NE(facts_of(other_test).data_hash, facts_of(dataset(300)).data_hash);
}

TEST(RunFacts, AreReadBack) {
  RunFacts facts = facts_of(dataset(300));
  facts.recipe = "max-2";
  facts.host = "node-a";
  facts.hardware = "a CPU";
  facts.device = "cpu";
  facts.ranks = 3;
  facts.threads = 2;
  facts.synthetic = true;
  const auto read = run_facts_from(to_json(facts));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(*read), to_json(facts));
  EXPECT_EQ(read->ranks, 3);
  EXPECT_EQ(read->data, "a \"folder\"");
  EXPECT_EQ(read->val, facts.val);
}

TEST(RunFacts, OfOtherTextAreNone) {
  const std::string whole = to_json(RunFacts{});
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{\"recipe\": 1}"),
                                  whole.substr(0, whole.size() / 2)}) {
    EXPECT_FALSE(run_facts_from(text)) << text;
  }
}

}  // namespace
}  // namespace cifar

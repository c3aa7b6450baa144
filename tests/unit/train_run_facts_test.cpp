#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "small_run.h"
#include "train/run_facts.h"

namespace cifar {
namespace {

// Labels go 0, 1, ... 9, 0, ...
Dataset dataset(int64_t train) {
  return {random_images(train), random_images(200), "a \"folder\"", false};
}

ImageSet with_byte_changed(const ImageSet& set, int64_t image, int64_t byte) {
  const auto records = std::make_shared<std::vector<uint8_t>>();
  for (int64_t i = 0; i < set.size(); ++i) {
    records->insert(records->end(), set.image(i) - 1, set.image(i) + kImageBytes);
  }
  (*records)[image * kRecordBytes + byte] ^= 1;
  return ImageSet({{{records, records->data()}, set.size()}});
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

// One label, or one byte of an image, wherever it is.
TEST(RunFacts, HashCoversEveryLabelAndEveryImage) {
  const Dataset before = dataset(30);
  const std::string hash = hash_of(before);
  std::set<std::string> hashes = {hash};
  for (int64_t image = 0; image < 30; ++image) {
    for (const int64_t byte : {0, 1, kRecordBytes - 1}) {
      Dataset changed = before;
      changed.train = with_byte_changed(before.train, image, byte);
      hashes.insert(hash_of(changed));
    }
  }
  EXPECT_EQ(hashes.size(), 1 + 3 * 30);
}

TEST(RunFacts, OfAnOlderVersionHaveNoHistory) {
  auto json = nlohmann::json::parse(to_json(facts_of(dataset(300))));
  json.erase("data_history");
  const auto facts = run_facts_from(json.dump());
  ASSERT_TRUE(facts);
  EXPECT_TRUE(facts->data_history.empty());
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
  facts.data_history = {{0, "one", "11"}, {704, "two", "22"}};
  const auto read = run_facts_from(to_json(facts));
  ASSERT_TRUE(read);
  EXPECT_EQ(to_json(*read), to_json(facts));
  EXPECT_EQ(read->ranks, 3);
  EXPECT_EQ(read->data, "a \"folder\"");
  EXPECT_EQ(read->val, facts.val);
  EXPECT_EQ(read->data_history, facts.data_history);
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

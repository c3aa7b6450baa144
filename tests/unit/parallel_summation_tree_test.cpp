// The order of addition, against a recursion written down independently: a sum of n leaves is the
// sum of the first 2^k (the largest power of two below n) plus the sum of the rest.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <bit>
#include <string>

#include "parallel/shards.h"
#include "parallel/summation_tree.h"

namespace cifar {
namespace {

using testing::SizeIs;

std::string bracketed(int64_t first, int64_t count) {
  if (count == 1) return std::to_string(first);
  const auto left = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(count - 1)));
  return fmt::format("({}+{})", bracketed(first, left), bracketed(first + left, count - left));
}

void add_text(std::string& left, std::string& right) {
  left = fmt::format("({}+{})", left, right);
}

TEST(TreeSum, AddsInTheOrderOfTheRecursion) {
  for (int64_t leaves = 1; leaves <= 40; ++leaves) {
    TreeSum<std::string> sum(leaves);
    for (int64_t leaf = 0; leaf < leaves; ++leaf) {
      sum.push({0, leaf}, std::to_string(leaf), add_text);
    }
    ASSERT_THAT(sum.entries(), SizeIs(1)) << leaves;
    EXPECT_EQ(sum.back(), bracketed(0, leaves));
  }
}

// Each rank adds its own leaves first, then the subtrees of all ranks are added.
TEST(TreeSum, AddsInTheSameOrderWhoeverHoldsTheLeaves) {
  for (int64_t leaves = 1; leaves <= 20; ++leaves) {
    for (int64_t ranks = 1; ranks <= leaves; ++ranks) {
      TreeSum<std::string> whole(leaves);
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const Range mine = part_of(leaves, ranks, rank);
        TreeSum<std::string> part(leaves);
        for (int64_t leaf = mine.first; leaf < mine.end(); ++leaf) {
          part.push({0, leaf}, std::to_string(leaf), add_text);
        }
        const auto nodes = subtrees_of(mine, leaves);
        ASSERT_EQ(part.entries().size(), nodes.size());
        for (size_t i = 0; i < nodes.size(); ++i) {
          EXPECT_EQ(part.entries()[i].node, nodes[i]);
          whole.push(nodes[i], part.entries()[i].value, add_text);
        }
      }
      ASSERT_THAT(whole.entries(), SizeIs(1));
      EXPECT_EQ(whole.back(), bracketed(0, leaves)) << leaves << " leaves, " << ranks << " ranks";
    }
  }
}

TEST(SubtreesOf, IsOneForEachRankWhereBothArePowersOfTwo) {
  for (int64_t leaves = 1; leaves <= 64; leaves *= 2) {
    for (int64_t ranks = 1; ranks <= leaves; ranks *= 2) {
      for (int64_t rank = 0; rank < ranks; ++rank) {
        EXPECT_THAT(subtrees_of(part_of(leaves, ranks, rank), leaves), SizeIs(1));
      }
    }
  }
}

TEST(SubtreesOf, AreFewForAnyRange) {
  for (int64_t first = 0; first < 64; ++first) {
    for (int64_t count = 1; first + count <= 64; ++count) {
      EXPECT_LE(subtrees_of({first, count}, 64).size(), 10u);  // 2 (log2(64) - 1)
    }
  }
}

}  // namespace
}  // namespace cifar

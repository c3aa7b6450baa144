// What makes shards a partition, swept over sizes.
#include <gtest/gtest.h>

#include "parallel/shards.h"

namespace cifar {
namespace {

TEST(PartOf, PartsAreContiguousAndCoverEverything) {
  for (int64_t total = 0; total <= 40; ++total) {
    for (int64_t parts = 1; parts <= 12; ++parts) {
      int64_t next = 0;
      for (int64_t i = 0; i < parts; ++i) {
        const Range part = part_of(total, parts, i);
        EXPECT_EQ(part.first, next);
        EXPECT_GE(part.count, 0);
        next = part.end();
      }
      EXPECT_EQ(next, total);
    }
  }
}

TEST(PartOf, SizesDifferByOneAtMostAndTheFirstAreLarger) {
  for (int64_t total = 0; total <= 40; ++total) {
    for (int64_t parts = 1; parts <= 12; ++parts) {
      for (int64_t i = 0; i < parts; ++i) {
        EXPECT_EQ(part_of(total, parts, i).count, (total + parts - 1 - i) / parts);
      }
    }
  }
}

// The ranks' samples, each the union of its shards', are a partition of the batch.
TEST(SamplesOf, IsTheUnionOfTheShards) {
  for (int64_t batch = 0; batch <= 20; ++batch) {
    for (int64_t shards = 1; shards <= 9; ++shards) {
      for (int64_t ranks = 1; ranks <= 5; ++ranks) {
        int64_t next = 0;
        for (int64_t rank = 0; rank < ranks; ++rank) {
          const Range mine = part_of(shards, ranks, rank);
          const Range samples = samples_of(mine, batch, shards);
          int64_t sum = 0;
          for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
            sum += part_of(batch, shards, shard).count;
          }
          EXPECT_EQ(samples.count, sum);
          if (samples.count == 0) continue;
          EXPECT_EQ(samples.first, next);
          next = samples.end();
        }
        EXPECT_EQ(next, batch);
      }
    }
  }
}

}  // namespace
}  // namespace cifar

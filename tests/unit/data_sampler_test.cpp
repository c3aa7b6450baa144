// The split and the order of an epoch: permutations, against an independent implementation.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "data/sampler.h"
#include "data/split.h"
#include "refusal.h"

namespace cifar {
namespace {

using Indices = std::vector<int32_t>;

Indices count_from(int32_t first, int64_t size) {
  Indices indices(size);
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

Indices sorted(Indices indices) {
  std::sort(indices.begin(), indices.end());
  return indices;
}

Indices joined(const Split& split) {
  Indices all = split.train;
  all.insert(all.end(), split.val.begin(), split.val.end());
  return all;
}

// The numbers of the two tests GivesTheReferenceValues come from a re-implementation in Python with
// unbounded integers, checked against Random123's vectors first:
//   def philox(c, k):
//     for _ in range(10):
//       p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
//       c = [(q >> 32) ^ c[1] ^ k[0], q & m, (p >> 32) ^ c[3] ^ k[1], p & m]      # m = 2**32 - 1
//       k = [(k[0] + 0x9E3779B9) & m, (k[1] + 0xBB67AE85) & m]
//     return c
//   for i in range(len(items) - 1, 0, -1):
//     j = philox(counter(i), [seed & m, seed >> 32])[0] * (i + 1) >> 32
//     items[i], items[j] = items[j], items[i]
// with counter(i) = [i, 0, 0, 1] for the split and [epoch, i, 0, 2] for an epoch.
TEST(SplitTrain, GivesTheReferenceValues) {
  EXPECT_EQ(joined(split_train(20, 5, 42)),
            (Indices{17, 9, 0, 14, 2, 1, 3, 11, 16, 10, 19, 6, 8, 15, 12, 13, 7, 18, 5, 4}));
  const Split split = split_train(50000, 5000, 42);
  EXPECT_EQ(Indices(split.train.begin(), split.train.begin() + 5),
            (Indices{46292, 1390, 45528, 5267, 42713}));
  EXPECT_EQ(Indices(split.val.begin(), split.val.begin() + 5),
            (Indices{2770, 8017, 15826, 49019, 41776}));
  EXPECT_EQ(split.val.back(), 5367);
}

TEST(SplitTrain, GivesEveryImageToOnePart) {
  const Split split = split_train(50000, 5000, 7);
  EXPECT_EQ(split.train.size(), 45000u);
  EXPECT_EQ(split.val.size(), 5000u);
  EXPECT_EQ(sorted(joined(split)), count_from(0, 50000));
}

TEST(SplitTrain, DependsOnTheSeed) {
  EXPECT_EQ(split_train(1000, 100, 1).val, split_train(1000, 100, 1).val);
  EXPECT_NE(split_train(1000, 100, 1).val, split_train(1000, 100, 2).val);
  EXPECT_NE(split_train(1000, 100, 1).val, split_train(1000, 100, 1 + (1ull << 32)).val);
}

TEST(SplitTrain, MovesOnlyTheBorderWithTheValidationSize) {
  EXPECT_EQ(joined(split_train(1000, 100, 1)), joined(split_train(1000, 400, 1)));
}

TEST(SplitTrain, MayHoldOutNothing) {
  const Split split = split_train(100, 0, 42);
  EXPECT_EQ(split.train.size(), 100u);
  EXPECT_TRUE(split.val.empty());
}

TEST(SplitTrain, RefusesToHoldOutAllOrLessThanNothing) {
  for (const int64_t size : {100, 101, -1}) {
    try {
      split_train(100, size, 42);
      ADD_FAILURE() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      EXPECT_NE(std::string(error.what()).find(std::to_string(size)), std::string::npos);
    }
  }
}

TEST(EpochOrder, GivesTheReferenceValues) {
  const Indices samples = count_from(100, 10);
  const uint64_t seed = (1ull << 32) + 7;
  EXPECT_EQ(epoch_order(samples, seed, 3),
            (Indices{107, 104, 106, 101, 108, 102, 109, 105, 103, 100}));
  EXPECT_EQ(epoch_order(samples, seed, 0),
            (Indices{100, 105, 108, 103, 106, 109, 107, 104, 102, 101}));
}

TEST(EpochOrder, IsAPermutationOfTheSamples) {
  const Indices samples = split_train(5000, 500, 42).train;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(sorted(epoch_order(samples, 42, epoch)), sorted(samples));
  }
}

TEST(EpochOrder, TakesNoAndOneSample) {
  EXPECT_TRUE(epoch_order({}, 42, 0).empty());
  EXPECT_EQ(epoch_order({9}, 42, 0), Indices{9});
}

// How often two independent permutations of n have the same entry in a place is near Poisson(1).
TEST(EpochOrder, IsIndependentFromEpochToEpoch) {
  const Indices samples = count_from(0, 1000);
  const Indices one = epoch_order(samples, 42, 0);
  for (int64_t epoch = 1; epoch < 20; ++epoch) {
    const Indices other = epoch_order(samples, 42, epoch);
    int matches = 0;
    for (size_t i = 0; i < one.size(); ++i) matches += one[i] == other[i];
    EXPECT_LT(matches, 9) << "epoch " << epoch;  // chance 1e-6 each
  }
}

// Each of 12 samples comes to each of 12 places equally often: over 6000 epochs the chi-square of
// the 144 counts has (12 - 1)^2 = 121 degrees of freedom when scaled by (n - 1) / n; its 99.99th
// percentile is 188 (Wilson and Hilferty: 121 (1 - 2/(9*121) + 3.72 sqrt(2/(9*121)))^3).
TEST(EpochOrder, IsUniform) {
  constexpr int kSamples = 12, kEpochs = 6000;
  int counts[kSamples][kSamples] = {};
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const Indices order = epoch_order(count_from(0, kSamples), 42, epoch);
    for (int place = 0; place < kSamples; ++place) ++counts[place][order[place]];
  }
  const double expected = static_cast<double>(kEpochs) / kSamples;
  double chi_square = 0;
  for (const auto& row : counts) {
    for (const int count : row) chi_square += (count - expected) * (count - expected) / expected;
  }
  chi_square *= (kSamples - 1.0) / kSamples;
  EXPECT_LT(chi_square, 188);
  EXPECT_GT(chi_square, 71);  // the 0.01th percentile: not more even than chance either
}

TEST(StepsPerEpoch, CountsTheShortBatch) {
  EXPECT_EQ(steps_per_epoch(45000, 64), 704);
  EXPECT_EQ(steps_per_epoch(128, 64), 2);
  EXPECT_EQ(steps_per_epoch(129, 64), 3);
  EXPECT_EQ(steps_per_epoch(1, 64), 1);
  EXPECT_EQ(steps_per_epoch(0, 64), 0);
}

TEST(StepsPerEpoch, LeavesTheShortBatchOutWhenItIsDropped) {
  EXPECT_EQ(steps_per_epoch(50000, 2000, true), 25);
  EXPECT_EQ(steps_per_epoch(49999, 2000, true), 24);
  EXPECT_EQ(steps_per_epoch(2000, 2000, true), 1);
  EXPECT_EQ(refusal(ExitCode::kUsage, [] { steps_per_epoch(1999, 2000, true); }),
            "train.batch_size: 2000 with drop_last; expected at most the 1999 images of the train "
            "split");
}

TEST(StepRange, CutsTheEpochWithoutGapOrOverlap) {
  for (const int64_t samples : {1, 63, 64, 65, 45000}) {
    int64_t next = 0;
    for (int64_t step = 0; step < steps_per_epoch(samples, 64); ++step) {
      const Range range = step_range(step, 64, samples);
      EXPECT_EQ(range.first, next);
      EXPECT_GT(range.count, 0);
      EXPECT_LE(range.count, 64);
      next += range.count;
    }
    EXPECT_EQ(next, samples);
  }
}

TEST(StepRange, EndsWithAShortBatch) {
  const Range range = step_range(703, 64, 45000);
  EXPECT_EQ(range.first, 44992);
  EXPECT_EQ(range.count, 8);
}

}  // namespace
}  // namespace cifar

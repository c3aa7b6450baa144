// How a flat gradient is cut, by times whose best cut is known.
#include <gtest/gtest.h>

#include <cmath>

#include "parallel/bucket_size.h"
#include "parallel/buckets.h"
#include "parallel/reducer.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

constexpr int64_t kKib = 1024;

// Layers of equal size, 64 KB each: gaps and metrics aside, a gradient of layers * 64 KB.
struct Layers : torch::nn::Module {
  explicit Layers(int64_t layers) {
    for (int64_t i = 0; i < layers; ++i) {
      register_parameter(std::to_string(i), torch::zeros({16 * kKib}));
    }
  }
};

// Sums that take `latency` and a second for `rate` bytes.
std::vector<SumTime> times_of(double latency, double rate, int64_t bytes) {
  std::vector<SumTime> times;
  for (int64_t size = 16 * kKib; size < bytes; size *= 4) {
    times.push_back({size, latency + static_cast<double>(size) / rate});
  }
  times.push_back({bytes, latency + static_cast<double>(bytes) / rate});
  return times;
}

// The number of buckets chosen for 64 layers, 4 MB.
size_t chosen(double latency, double rate, torch::ScalarType type = torch::kFloat32) {
  Layers layers(64);
  const FlatState state(layers, torch::kCPU);
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  const int64_t all = state.reduced().numel() * element;
  const int64_t kib = best_bucket_kib(times_of(latency, rate, all), state, type);
  return buckets_of(state, kib * kKib / element, type != torch::kFloat32).size();
}

TEST(SumTimes, AreALineBetweenTwoMeasuredSizes) {
  const std::vector<SumTime> times = {{1000, 2}, {3000, 4}, {10000, 18}};
  EXPECT_EQ(seconds_of(times, 1), 2);
  EXPECT_EQ(seconds_of(times, 1000), 2);
  EXPECT_EQ(seconds_of(times, 2000), 3);
  EXPECT_EQ(seconds_of(times, 3000), 4);
  EXPECT_EQ(seconds_of(times, 6500), 11);
  EXPECT_EQ(seconds_of(times, 20000), 36);
}

// With t(b) = l + b / r, n equal pieces of W delay by l + W / (n r) + (n - 1) l.
TEST(Delay, IsTheLastPieceAndWhatTheCutCosts) {
  const auto times = times_of(3, 1e5, 1024 * kKib);
  const auto delay = [&](int64_t pieces) {
    return delay_of(times, std::vector<int64_t>(pieces, 1024 * kKib / pieces));
  };
  const double whole = 1024 * kKib / 1e5;
  for (const int64_t n : {1, 2, 4, 16}) {
    EXPECT_NEAR(delay(n), 3.0 * n + whole / static_cast<double>(n), 1e-9) << n;
  }
}

// The best number of pieces is sqrt(W / (l r)).
TEST(BucketSize, IsOnePieceWhereLatencyIsAllAndManyWhereTheRateIs) {
  EXPECT_EQ(chosen(1e-3, 1e12), 1u);
  EXPECT_EQ(chosen(1e-9, 1e9), 64u);
  const double rate = 1e9, latency = 4096 * kKib / rate / 64;  // 8 pieces
  EXPECT_GE(chosen(latency, rate), 6u);
  EXPECT_LE(chosen(latency, rate), 11u);
}

// Half the bytes, so fewer pieces; metrics and statistics are one more, in float32.
TEST(BucketSize, CountsTheBytesThatAreSent) {
  EXPECT_EQ(chosen(1e-3, 1e12, torch::kBFloat16), 2u);
  const double rate = 1e9, latency = 4096 * kKib / rate / 64;
  EXPECT_LT(chosen(latency, rate, torch::kBFloat16), chosen(latency, rate));
}

TEST(SumTimes, AreMeasuredAlikeOnAllRanks) {
  std::vector<std::vector<SumTime>> found(3);
  run_ranks(3, [&](Communicator& comm) {
    found[comm.rank()] = measure_sums(comm, torch::ones({25'000}));
  });
  ASSERT_EQ(found[0].size(), 3u);
  const int64_t sizes[] = {16 * kKib, 64 * kKib, 100'000};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found[0][i].bytes, sizes[i]);
    EXPECT_GT(found[0][i].seconds, 0);
    EXPECT_EQ(found[0][i].seconds, found[1][i].seconds);
    EXPECT_EQ(found[0][i].seconds, found[2][i].seconds);
  }
}

TEST(ChooseBuckets, SettlesWhatIsLeftOpenAlikeOnAllRanks) {
  const auto chosen_by = [](TrainConfig config, int ranks) {
    std::vector<int64_t> found(ranks);
    run_ranks(ranks, [&](Communicator& comm) {
      Layers layers(4);
      const FlatState state(layers, torch::kCPU);
      TrainConfig mine = config;
      choose_buckets(mine, comm, state);
      found[comm.rank()] = mine.bucket_kib;
    });
    for (const int64_t one : found) EXPECT_EQ(one, found[0]);
    return found[0];
  };
  TrainConfig config;
  config.reduction = "overlapped";
  for (const std::string precision : {"fp32", "bf16"}) {
    config.reduction_precision = precision;
    EXPECT_GT(chosen_by(config, 3), 0);
  }
  EXPECT_EQ(chosen_by(config, 1), 0);  // nothing to measure
  config.bucket_kib = 7;
  EXPECT_EQ(chosen_by(config, 3), 7);
  config = {};
  EXPECT_EQ(chosen_by(config, 3), 0);  // ordered has none
}

}  // namespace
}  // namespace cifar

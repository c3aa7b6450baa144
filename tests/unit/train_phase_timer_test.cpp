// Which phase time is booked to; sleeps last at least as long as asked for, and the whole is an
// upper bound.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "train/phase_timer.h"

namespace cifar {
namespace {

using std::chrono::milliseconds;

double seconds(const PhaseTimer::Seconds& all, Phase phase) {
  return all[static_cast<size_t>(phase)];
}

void sleep(int ms) {
  std::this_thread::sleep_for(milliseconds(ms));
}

TEST(PhaseTimer, BooksTimeToThePhaseThatBegan) {
  const auto start = std::chrono::steady_clock::now();
  PhaseTimer timer(torch::kCPU);
  timer.begin(Phase::kData);
  sleep(2);
  timer.begin(Phase::kCompute);
  sleep(3);
  timer.begin(Phase::kData);
  sleep(4);
  timer.end();
  const auto all = timer.take();
  const std::chrono::duration<double> whole = std::chrono::steady_clock::now() - start;
  EXPECT_GE(seconds(all, Phase::kData), 0.006);
  EXPECT_GE(seconds(all, Phase::kCompute), 0.003);
  EXPECT_EQ(seconds(all, Phase::kCommunication), 0);
  EXPECT_LE(std::accumulate(all.begin(), all.end(), 0.0), whole.count());
}

TEST(PhaseTimer, TimeBetweenPhasesBelongsToNone) {
  PhaseTimer timer(torch::kCPU);
  timer.begin(Phase::kCompute);
  timer.end();
  const auto before = timer.take();
  sleep(2);
  const auto after = timer.take();
  EXPECT_GE(seconds(before, Phase::kCompute), 0);
  EXPECT_EQ(after, PhaseTimer::Seconds{});
}

TEST(PhaseTimer, TakeEndsThePhaseAndStartsFromZero) {
  PhaseTimer timer(torch::kCPU);
  timer.begin(Phase::kCommunication);
  sleep(2);
  EXPECT_GE(seconds(timer.take(), Phase::kCommunication), 0.002);
  sleep(2);
  EXPECT_EQ(timer.take(), PhaseTimer::Seconds{});
}

}  // namespace
}  // namespace cifar

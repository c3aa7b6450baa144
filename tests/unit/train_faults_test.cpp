// Faults: what a SPEC means, what is refused, and that each does what it says, once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>

#include <bit>
#include <set>
#include <utility>

#include "model_inputs.h"
#include "refusal.h"
#include "small_run.h"
#include "train/faults.h"

namespace cifar {
namespace {

using testing::HasSubstr;
using Action = Fault::Action;

std::vector<Fault> parse(const std::string& spec, uint64_t seed = 1) {
  return parse_faults(spec, seed, /*steps=*/200, /*ranks=*/3);
}

std::string refused_fault(const std::string& spec) {
  return refusal(ExitCode::kUsage, [&] { parse(spec); });
}

Faults faults(const std::string& spec, int rank = 0, uint64_t seed = 1) {
  return Faults(spec, seed, 200, rank, 3);
}

TrainState small_state() {
  return TrainState(small_config({"conv 4 kernel 5", "batch-norm", "flatten", "linear 10"}),
                    torch::kCPU);
}

TEST(ParseFaults, ReadsAList) {
  EXPECT_TRUE(parse("").empty());
  const auto found = parse("kill@120:1,stop@1:0,delay=0.25@200:2,bitflip@3:0,nan@4:0");
  ASSERT_EQ(found.size(), 5u);
  const Action actions[] = {Action::kKill, Action::kStop, Action::kDelay, Action::kBitflip,
                            Action::kNan};
  const std::pair<int64_t, int64_t> places[] = {{120, 1}, {1, 0}, {200, 2}, {3, 0}, {4, 0}};
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].action, actions[i]);
    EXPECT_EQ(std::pair(found[i].step, found[i].rank), places[i]);
  }
  EXPECT_EQ(found[2].seconds, 0.25);
  EXPECT_EQ(found[2].text, "delay=0.25@200:2");
}

TEST(ParseFaults, DrawsWhatIsRandom) {
  std::set<int64_t> steps, ranks;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const auto found = parse("kill@random:random", seed);
    steps.insert(found[0].step);
    ranks.insert(found[0].rank);
    EXPECT_EQ(found[0].text, parse("kill@random:random", seed)[0].text);
  }
  EXPECT_EQ(std::pair(*steps.begin(), *steps.rbegin()), std::pair(int64_t{1}, int64_t{200}));
  EXPECT_EQ(steps.size(), 200u);
  EXPECT_EQ(ranks, (std::set<int64_t>{0, 1, 2}));
}

TEST(ParseFaults, RefusesWhatIsNoFault) {
  for (const std::string spec : {"kill", "kill@3", "kill:1@3", ",", "kill@3:1,", "@:"}) {
    EXPECT_THAT(refused_fault(spec), HasSubstr("--fault: ")) << spec;
  }
  EXPECT_THAT(refused_fault("crash@1:0"),
              HasSubstr("crash@1:0; expected kill, stop, delay=SECONDS, "));
  EXPECT_THAT(refused_fault("delay@1:0"), HasSubstr("expected kill, stop, delay=SECONDS, "));
  for (const std::string seconds : {"", "-1", "nan", "inf", "2s", "1e9"}) {
    EXPECT_THAT(refused_fault("delay=" + seconds + "@1:0"),
                HasSubstr("delay=SECONDS, a number from 0"));
  }
  for (const std::string step : {"", "0", "-1", "201", "2.5", "99999999999999999999"}) {
    EXPECT_THAT(refused_fault("nan@" + step + ":0"), HasSubstr("a step from 1 to 200, or random"));
  }
  for (const std::string rank : {"", "3", "-1", "all"}) {
    EXPECT_THAT(refused_fault("kill@1:" + rank), HasSubstr("a rank from 0 to 2, or random"));
  }
}

// The bits in which two flat tensors differ.
int64_t different_bits(const torch::Tensor& a, const torch::Tensor& b) {
  const int32_t* left = a.view(torch::kInt32).const_data_ptr<int32_t>();
  const int32_t* right = b.view(torch::kInt32).const_data_ptr<int32_t>();
  int64_t count = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    count += std::popcount(static_cast<uint32_t>(left[i] ^ right[i]));
  }
  return count;
}

TEST(Faults, ABitflipFlipsOneBitOfOneParameterOnce) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const TrainState state = small_state();
    Faults fault = faults("bitflip@2:0", 0, seed);
    const auto before = state.flat.parameters().clone();
    fault.before_step(1, state.flat);
    EXPECT_EQ(different_bits(state.flat.parameters(), before), 0);
    fault.before_step(2, state.flat);
    EXPECT_EQ(different_bits(state.flat.parameters(), before), 1);
    EXPECT_NE(state.flat.hash(), small_state().flat.hash());  // not in a gap between parameters
    fault.before_step(3, state.flat);
    EXPECT_EQ(different_bits(state.flat.parameters(), before), 1);
  }
}

TEST(Faults, ANanComesIntoOneStepsGradient) {
  const TrainState state = small_state();
  const auto backward = [&] {
    Pass pass = kTraining;
    pass.gradients = Gradients::kWrite;
    state.network->forward(torch::rand({2, 3, 32, 32}), pass).square().sum().backward();
    return state.flat.gradients().isnan().sum().item<int64_t>();
  };
  Faults fault = faults("nan@2:0");
  const int64_t expected[] = {0, 1, 0};
  for (int64_t step = 1; step <= 3; ++step) {
    fault.before_step(step, state.flat);
    EXPECT_EQ(backward(), expected[step - 1]);
  }
}

TEST(Faults, AreThoseOfTheRankAndOfTheFirstLife) {
  const TrainState state = small_state();
  const auto before = state.flat.parameters().clone();
  faults("bitflip@1:0", 1).before_step(1, state.flat);
  setenv("CIFAR_RESTART_COUNT", "1", 1);
  faults("bitflip@1:0", 0).before_step(1, state.flat);
  EXPECT_EQ(different_bits(state.flat.parameters(), before), 0);
  setenv("CIFAR_RESTART_COUNT", "0", 1);
  faults("bitflip@1:0", 0).before_step(1, state.flat);
  EXPECT_EQ(different_bits(state.flat.parameters(), before), 1);
  unsetenv("CIFAR_RESTART_COUNT");
}

TEST(FaultsDeathTest, KillIsSigkill) {
  const TrainState state = small_state();
  EXPECT_EXIT(faults("kill@1:2", 2).before_step(1, state.flat), testing::KilledBySignal(SIGKILL),
              "cifar-ddp: fault: kill@1:2");
}

}  // namespace
}  // namespace cifar

// Whom a roll call finds missing, who tells of it, and in which words.
#include <gmock/gmock.h>

#include "comm/roll_call_rules.h"

namespace cifar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

constexpr Answer kThere{6, 120, Reason::kLate};
constexpr Answer kCalled{6, 120, Reason::kCalled};
constexpr Answer kFailed{6, 120, Reason::kFailed};
constexpr Answer kAhead{9, 121, Reason::kCalled};
constexpr Answer kBehind{5, 119, Reason::kCalled};

// A call over all-reduce 5 (the sixth) of step 120.
RollCall call(std::vector<std::optional<Answer>> answers) {
  std::vector<std::string> hosts;
  for (size_t rank = 0; rank < answers.size(); ++rank) hosts.push_back(rank < 2 ? "a" : "b");
  return {{"all-reduce", 120, 5}, 300, "", std::move(answers), hosts};
}

TEST(RollCall, NamesTheOneThatIsSilent) {
  const RollCall stopped = call({kThere, kCalled, {}});
  EXPECT_THAT(stopped.missing(), ElementsAre(2));
  EXPECT_EQ(stopped.operation.text(), "all-reduce of step 120");
  EXPECT_EQ(stopped.found(), "rank 2 (host b) did not arrive within 300 s");
  EXPECT_EQ(stopped.expected(), "all 3 ranks (--timeout)");
}

// Rank 1 waits in an earlier operation, for rank 2: it is not to blame.
TEST(RollCall, NamesTheSilentBeforeThoseThatAreBehind) {
  EXPECT_THAT(call({kThere, kBehind, {}}).missing(), ElementsAre(2));
  EXPECT_THAT(call({kThere, kBehind, kThere}).missing(), ElementsAre(1));
  EXPECT_THAT(call({kThere, kAhead, kBehind}).missing(), ElementsAre(2));
}

TEST(RollCall, NamesNobodyWhenAMessageIsLost) {
  const RollCall lost = call({kThere, kAhead, kCalled});
  EXPECT_THAT(lost.missing(), IsEmpty());
  EXPECT_EQ(lost.found(), "not done within 300 s, though all ranks are there");
  EXPECT_EQ(lost.expected(), "every message to arrive (--timeout)");
}

// Work on a device is not counted by the host: the step says who is behind.
TEST(RollCall, ComparesStepsWhereOperationsAreNotCounted) {
  RollCall device = call({kThere, kBehind, kAhead});
  device.operation.number = -1;
  EXPECT_THAT(device.missing(), ElementsAre(1));
}

TEST(RollCall, TellsABrokenConnectionFromADeadline) {
  RollCall broken = call({kCalled, {}, kFailed});
  EXPECT_EQ(broken.found(), "rank 1 (host a) lost");  // called by the rank that saw it
  broken.failure = "connection reset";
  EXPECT_EQ(broken.found(), "rank 1 (host a) lost: connection reset");
  RollCall failed = call({kFailed, kCalled, kFailed});
  failed.failure = "out of memory";
  EXPECT_EQ(failed.found(), "out of memory");
}

// The turns of all ranks; -1: did not answer.
std::vector<int> turns(const RollCall& roll) {
  std::vector<int> turns;
  for (size_t rank = 0; rank < roll.answers.size(); ++rank) {
    turns.push_back(roll.answers[rank] ? roll.turn(static_cast<int>(rank)) : -1);
  }
  return turns;
}

TEST(RollCall, TheLowestWithAReasonOfItsOwnTellsFirst) {
  EXPECT_THAT(turns(call({kThere, {}, kThere})), ElementsAre(0, -1, 2));
  EXPECT_THAT(turns(call({{}, kThere, kFailed})), ElementsAre(-1, 0, 2));
  EXPECT_THAT(turns(call({kCalled, kBehind, kFailed})), ElementsAre(2, 2, 0));
}

TEST(RollCall, OfTwoPartsTheLargerTellsFirst) {
  EXPECT_THAT(turns(call({kThere, {}, {}})), ElementsAre(1, -1, -1));
  EXPECT_THAT(turns(call({{}, kThere, kThere})), ElementsAre(-1, 0, 2));
  EXPECT_THAT(turns(call({kThere, kThere, {}, {}})), ElementsAre(0, 2, -1, -1));
  EXPECT_THAT(turns(call({{}, {}, kThere, kThere})), ElementsAre(-1, -1, 1, 2));
}

TEST(RollCall, NamesRunsOfRanksByTheirHost) {
  const std::vector<std::string> hosts = {"a", "a", "a", "b", "b", "c"};
  EXPECT_EQ(name_ranks({4}, hosts), "rank 4 (host b)");
  EXPECT_EQ(name_ranks({0, 1, 2, 3, 4, 5}, hosts), "ranks 0-2 (host a), 3-4 (host b), 5 (host c)");
  EXPECT_EQ(name_ranks({0, 2}, hosts), "ranks 0 (host a), 2 (host a)");
  EXPECT_EQ(name_ranks({0, 1, 3}, {}), "ranks 0-1, 3");  // before the hosts are known
}

TEST(RollCall, WithoutAStepNamesTheOperationAlone) {
  EXPECT_EQ((Operation{"barrier"}.text()), "barrier");
  EXPECT_THAT((Operation{"barrier", 0}.text()), StartsWith("barrier of step 0"));
}

}  // namespace
}  // namespace cifar

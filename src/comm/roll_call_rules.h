// What the answers to a roll call mean, as pure functions; roll_call.cpp asks the ranks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cifar {

// Something that all ranks take part in.
struct Operation {
  const char* name;     // as a user would say it: all-reduce
  int64_t step = -1;    // of the training; -1: none
  int64_t number = -1;  // the how-manieth it is of this world; -1: it was not counted

  std::string text() const;  // "all-reduce of step 120"
};

// Why a rank takes part in a roll call: another called while it waited, its own deadline passed, or
// MPI or NCCL reported an error.
enum class Reason : int64_t { kCalled, kLate, kFailed };

// What a rank says of itself.
struct Answer {
  int64_t begun;  // operations that it has begun
  int64_t step;
  Reason reason;
};

struct RollCall {
  Operation operation;                         // what the calling rank waits for
  double timeout;                              // seconds
  std::string failure;                         // what MPI or NCCL says; empty: nothing
  std::vector<std::optional<Answer>> answers;  // by rank, the caller's own among them
  std::vector<std::string> hosts;              // by rank; may be empty

  // The ranks that did not answer; when all did, those that have not come to the operation.
  std::vector<int> missing() const;
  // In which turn a rank that answered tells of it; the first to tell ends the others. Turn 0 has
  // the lowest of those with a reason of their own. (One that was called may be the one that was
  // missing and come too late: mpirun lets a stopped process go on for a second before it kills
  // it.) When the network is cut in two and mpirun still reaches both parts, it is turn 1 for the
  // smaller part. Turn 2 is for all others: those before them may be gone by now.
  int turn(int rank) const;
  std::string found() const;
  std::string expected() const;
};

// "rank 2 (host b)", "ranks 0-3 (host a), 5 (host b)".
std::string name_ranks(const std::vector<int>& ranks, const std::vector<std::string>& hosts);

}  // namespace cifar

// Breaks a training on purpose, so that tests can show what the program does about it: --fault, in
// builds with CIFAR_FAULTS alone. A SPEC is a list of faults with commas between them:
//
//   ACTION@STEP:RANK    just before step STEP (from 1), on rank RANK; either may be "random", drawn
//                       from the run's seed, the same on all ranks
//   kill | stop         SIGKILL or SIGSTOP to the rank's own process
//   delay=SECONDS       the rank sleeps
//   bitflip             one bit of one parameter, both drawn
//   nan                 a NaN in the step's gradient of one parameter, drawn
//
// Each happens once, and in a run's first life alone: a process that a launcher started again
// (CIFAR_RESTART_COUNT in the environment, above 0) does nothing, since it may pass the same steps.
// Error(kUsage) for a bad SPEC.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "parallel/flat_state.h"

namespace cifar {

struct Fault {
  enum class Action { kKill, kStop, kDelay, kBitflip, kNan };

  Action action;
  double seconds;         // of kDelay
  int64_t step, rank;     // from 1; from 0
  uint64_t which, bit;    // random: of kBitflip and kNan
  std::string text = {};  // "kill@120:1", with what was drawn
};

// Of a run of `steps` steps on `ranks` ranks.
std::vector<Fault> parse_faults(const std::string& spec, uint64_t seed, int64_t steps, int ranks);

class Faults {
 public:
  Faults(const std::string& spec, uint64_t seed, int64_t steps, int rank, int ranks);

  // Does what is due before step `step`, and says so on standard error.
  void before_step(int64_t step, const FlatState& state);

 private:
  void spoil_gradient(const Fault& fault, const FlatState& state);
  void heal_gradient();

  std::vector<Fault> mine_;
  torch::Tensor spoilt_;  // the parameter whose gradient gets a NaN in this step
  unsigned hook_ = 0;
};

}  // namespace cifar

// What rank 0 shows while it trains: on a terminal a bar with step, loss, images/s and time left,
// as wide as the terminal is; otherwise nothing between the lines of the epochs.
#pragma once

#include <chrono>
#include <cstdint>

namespace cifar {

class Progress {
 public:
  // `steps` in all; `enabled` on rank 0 when standard output is a terminal.
  Progress(int64_t steps, bool enabled) : steps_(steps), enabled_(enabled) {}

  bool enabled() const { return enabled_; }
  // After a step; draws at most ten times a second. `loss`: the epoch's mean so far;
  // `samples`: of this step.
  void show(int64_t step, int64_t epoch, double loss, int64_t samples);
  // Clears the bar, so that a line can be printed.
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  int64_t steps_;
  bool enabled_, drawn_ = false;
  int64_t first_step_ = -1, samples_ = 0;
  Clock::time_point start_, last_;
};

// Whether standard output reaches a person's terminal, one that can erase a line (not TERM=dumb).
bool on_terminal();

}  // namespace cifar

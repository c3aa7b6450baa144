// A point in time until which something is waited for.
#pragma once

#include <algorithm>
#include <chrono>

namespace cifar {

// A loop that should look several times a second and did not for so long was stopped itself.
constexpr double kAbsenceSeconds = 1;

class Deadline {
 public:
  // `seconds` from now; a century at most.
  explicit Deadline(double seconds)
      : seconds_(seconds),
        end_(Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(std::min(seconds, 3e9)))) {}

  bool passed() const { return Clock::now() > end_; }
  double seconds() const { return seconds_; }  // that it was set for

 private:
  using Clock = std::chrono::steady_clock;

  double seconds_;
  Clock::time_point end_;
};

}  // namespace cifar

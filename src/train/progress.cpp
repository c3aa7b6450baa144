#include "train/progress.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>

namespace cifar {
namespace {

constexpr int64_t kBarWidth = 24;

std::string bar(int64_t step, int64_t steps) {
  const int64_t filled = kBarWidth * step / steps;
  return std::string(filled, '#') + std::string(kBarWidth - filled, '.');
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

}  // namespace

void Progress::show(int64_t step, int64_t epoch, double loss, int64_t samples) {
  if (!enabled_) return;
  const auto now = Clock::now();
  if (first_step_ < 0) {
    first_step_ = step;
    start_ = last_ = now;
    return;
  }
  samples_ += samples;
  if (now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  const double left =
      seconds / static_cast<double>(step - first_step_) * static_cast<double>(steps_ - step);
  fmt::print("\r\033[K[{}] epoch {} step {}/{} loss {:.3f} {:.0f} images/s {} left",
             bar(step, steps_), epoch, step, steps_, loss, static_cast<double>(samples_) / seconds,
             duration(left));
  std::fflush(stdout);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) fmt::print("\r\033[K");
  drawn_ = false;
}

}  // namespace cifar

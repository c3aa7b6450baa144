#include "train/progress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/log.h"

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

bool is_terminal(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (file < 0) return false;
  const bool terminal = isatty(file);
  close(file);
  return terminal;
}

}  // namespace

bool on_terminal() {
  if (!isatty(STDOUT_FILENO)) return false;
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return true;
  return is_terminal(fmt::format("/proc/{}/fd/1", getppid()));
}

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
  print_text(fmt::format("\r\033[K[{}] epoch {} step {}/{} loss {:.3f} {:.0f} images/s {} left",
                         bar(step, steps_), epoch, step, steps_, loss,
                         static_cast<double>(samples_) / seconds, duration(left)));
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) print_text("\r\033[K");
  drawn_ = false;
}

}  // namespace cifar

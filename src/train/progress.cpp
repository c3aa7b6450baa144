#include "train/progress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"

namespace cifar {
namespace {

// "[##..] TEXT" on one line: the bar has what the text leaves, if that is enough for one.
std::string line_of(const std::string& text, int64_t step, int64_t steps, int64_t columns) {
  constexpr int64_t kLeastBar = 4, kMostBar = 24, kFrame = 3;  // brackets and a blank
  const int64_t room = columns - static_cast<int64_t>(text.size()) - kFrame;
  if (room < kLeastBar) return text.substr(0, static_cast<size_t>(columns));
  const int64_t width = std::min(room, kMostBar), filled = width * step / steps;
  return fmt::format("[{:#<{}}{:.<{}}] {}", "", filled, "", width - filled, text);
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole >= 3600)
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

// Where a person reads, maybe. Open MPI gives rank 0 a pseudo-terminal of its own in any case, and
// of no size; then what counts is where mpirun itself writes.
class Output {
 public:
  Output() {
    if (!isatty(STDOUT_FILENO)) return;
    const bool own = std::getenv("OMPI_COMM_WORLD_RANK") == nullptr;
    const std::string mpiruns = fmt::format("/proc/{}/fd/1", getppid());
    file_ = own ? dup(STDOUT_FILENO) : open(mpiruns.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  }
  ~Output() {
    if (file_ >= 0) close(file_);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  bool is_terminal() const { return file_ >= 0 && isatty(file_); }
  // 0: it does not say.
  int64_t columns() const {
    winsize size = {};
    return file_ >= 0 && ioctl(file_, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
  }

 private:
  int file_ = -1;
};

// Asked each time: a person may have changed it.
int64_t terminal_columns() {
  constexpr int64_t kUsual = 80;
  if (const int64_t columns = Output().columns(); columns > 0) return columns;
  const char* told = std::getenv("COLUMNS");
  const int64_t columns = told == nullptr ? 0 : std::strtol(told, nullptr, 10);
  return columns > 0 ? columns : kUsual;
}

}  // namespace

bool on_terminal() {
  const char* kind = std::getenv("TERM");
  const bool moves_cursor = kind != nullptr && *kind != '\0' && std::string_view(kind) != "dumb";
  return moves_cursor && Output().is_terminal();
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
  const std::string text =
      fmt::format("epoch {} step {}/{} loss {:.3f} {:.0f} images/s {} left", epoch, step, steps_,
                  loss, static_cast<double>(samples_) / seconds, duration(left));
  // The last column stays free: some terminals begin a new line once it is written.
  print_text("\r\033[K" + line_of(text, step, steps_, terminal_columns() - 1));
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) print_text("\r\033[K");
  drawn_ = false;
}

}  // namespace cifar

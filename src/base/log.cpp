#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/printable.h"
#include "base/system_calls.h"

namespace cifar {
namespace {

// Writes what it can of `text` and takes it away; the error that is in the way of the rest, or 0.
int write_out(std::string& text) {
  if (text.empty()) return 0;
  text.erase(0, write_bytes(STDOUT_FILENO, text));
  if (text.empty()) return 0;
  if (errno != EPIPE) return errno;
  text.clear();
  return 0;
}

}  // namespace

void Log::line(std::string_view text) const {
  if (rank_ != 0) return;
  unwritten_.append(printable(text)).append("\n");
  write_out(unwritten_);
}

void Log::lines(std::string_view text) const {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    line(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

void Log::warning(std::string_view text) const {
  if (rank_ == 0) print_message(std::string("warning: ").append(text));
}

std::string Log::write_failure() const {
  const int error = write_out(unwritten_);
  return error == 0 ? "" : std::strerror(error);
}

void prepare_output() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    // The lowest number that is free is the one that open() takes.
    if (fcntl(stream, F_GETFD) < 0 && errno == EBADF) open("/dev/null", O_RDWR);
  }
}

void print_text(std::string_view text) {
  write_bytes(STDOUT_FILENO, text);
}

void print_message(std::string_view text) {
  write_bytes(STDERR_FILENO, "cifar-ddp: " + printable(text) + "\n");
}

void print_error(std::string_view text, std::string_view context) {
  text = text.substr(0, text.find('\n'));
  print_message(std::string("error: ").append(text).append(" [").append(context).append("]"));
}

}  // namespace cifar

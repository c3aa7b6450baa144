#include "base/log.h"

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/printable.h"

namespace cifar {

void Log::line(std::string_view text) const {
  if (rank_ != 0) return;
  std::printf("%s\n", printable(text).c_str());
  std::fflush(stdout);  // mpirun and Slurm read through a pipe; a line an epoch must not wait in it
}

void Log::lines(std::string_view text) const {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    line(text.substr(begin, end - begin));
    begin = end + 1;
  }
}

void Log::warning(std::string_view text) const {
  if (rank_ != 0) return;
  std::fprintf(stderr, "cifar-ddp: warning: %s\n", printable(text).c_str());
}

void print_error(std::string_view text, std::string_view context) {
  const std::string shown = printable(text.substr(0, text.find('\n')));
  std::fflush(stdout);
  std::fprintf(stderr, "cifar-ddp: error: %s [%.*s]\n", shown.c_str(),
               static_cast<int>(context.size()), context.data());
}

}  // namespace cifar

#include "base/log.h"

#include <cstdio>

namespace cifar {

void Log::line(std::string_view text) const {
  if (rank_ != 0) return;
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);  // mpirun and Slurm read through a pipe; a line an epoch must not wait in it
}

void Log::warning(std::string_view text) const {
  if (rank_ != 0) return;
  std::fprintf(stderr, "cifar-ddp: warning: %.*s\n", static_cast<int>(text.size()), text.data());
}

void print_error(std::string_view text, std::string_view context) {
  text = text.substr(0, text.find('\n'));
  std::fflush(stdout);
  std::fprintf(stderr, "cifar-ddp: error: %.*s [%.*s]\n", static_cast<int>(text.size()),
               text.data(), static_cast<int>(context.size()), context.data());
}

}  // namespace cifar

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

}  // namespace cifar

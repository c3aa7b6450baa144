// What World keeps of MPI; for the .cpp files of comm/ alone.
#pragma once

#include <mpi.h>
#include <torch/types.h>

#include <mutex>
#include <string>
#include <vector>

#include "comm/launcher.h"
#include "comm/world.h"

namespace cifar {

struct World::Mpi {
  LauncherWatch launcher;          // from before MPI_Init to after MPI_Finalize
  MPI_Comm all = MPI_COMM_NULL;    // duplicates of MPI_COMM_WORLD, errors returned: for the work,
  MPI_Comm roll = MPI_COMM_NULL;   // and for roll calls
  MPI_Comm node = MPI_COMM_NULL;   // the ranks of this host
  std::mutex mutex;                // held in every call: MPI_THREAD_SERIALIZED
  std::recursive_mutex giving_up;  // held by the thread that calls the roll
  int64_t begun = 0;               // operations; the same on all ranks that are equally far
  // What MPI may still read or write after a wait was given up: kept until the process ends.
  std::vector<torch::Tensor> abandoned;
};

inline std::string mpi_error_text(int status) {
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  return std::string(text, length);
}

}  // namespace cifar

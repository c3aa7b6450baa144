// What World keeps of MPI, and the check of its return codes; for the .cpp files of comm/ alone.
#pragma once

#include <mpi.h>

#include <string>

#include "base/error.h"
#include "comm/world.h"

namespace cifar {

struct World::Mpi {
  MPI_Comm all = MPI_COMM_NULL;   // a duplicate of MPI_COMM_WORLD, errors returned
  MPI_Comm node = MPI_COMM_NULL;  // the ranks of this host
};

inline void check_mpi(int status, const char* call,
                      std::source_location where = std::source_location::current()) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw Error(ExitCode::kPeerLost, call, std::string(text, length), "all ranks to answer", where);
}

}  // namespace cifar

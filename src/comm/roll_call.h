// Who is missing: when a rank gives up waiting it asks all others, and those that wait as well hear
// it and answer; then all of them give up. For the .cpp files of comm/ alone.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "comm/deadline.h"
#include "comm/mpi_handle.h"
#include "comm/roll_call_rules.h"

namespace cifar {

// Whether another rank has given up; for whoever waits to ask now and then.
bool roll_call_heard(World::Mpi& mpi);

// Calls the roll, which takes two seconds at most, and returns what it found when it is this rank's
// turn to tell, by when another rank's MPI_Abort has ended all but one. `failure`: what MPI or NCCL
// says, if anything.
PeerLost peer_lost(const World& world, const Operation& operation, double timeout, Reason reason,
                   const std::string& failure = "");

// Counts an operation: the next that this rank takes part in.
Operation next_operation(const World& world, const char* name, int64_t step = -1);

// Starts it, or a part of it: `call` makes one call of MPI and returns its status.
template <typename Call>
void start(const World& world, const Operation& operation, double timeout, const Call& call) {
  int status = MPI_SUCCESS;
  {
    const std::lock_guard lock(world.mpi()->mutex);
    status = call();
  }
  if (status == MPI_SUCCESS) return;
  throw peer_lost(world, operation, timeout, Reason::kFailed, mpi_error_text(status));
}

// Waits until it is done; PeerLost at the deadline, when another rank has given up, and on an error
// of MPI. The request then goes on, so that its buffers must live until the process ends. When this
// process itself was stopped for a while (so does Slurm with a whole job), the wait begins anew.
void await(const World& world, MPI_Request& request, const Operation& operation,
           Deadline& deadline);

}  // namespace cifar

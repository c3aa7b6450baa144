// Who started this process, and how many others with it: what the variables of launchers say, and
// whether they were given to this process or linger in the shell that it was started from. Pure
// functions of a process and its ancestors, as base/processes.h finds them.
//
// The nearest ancestor that was not itself started with the same values has set them. If that is a
// shell, or what a shell is reached through, a person or a script exported them: they linger.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/processes.h"

namespace cifar {

struct Launch {
  std::string launcher;  // "torchrun"
  int size = 0;          // processes that it started
  bool first = true;     // of those that know of each other: it tells for all
  std::string sign;      // "WORLD_SIZE=2"
  std::string remedy;    // what to start instead
  bool lingers = false;  // no launcher gave them to this process

  std::string found() const;  // for the refusal of one that was given them
  std::string note() const;   // for one with which they linger
};

// Whether a launcher that Open MPI may know started this process: then MPI says how many there are.
bool started_for_mpi(const std::vector<Process>& lineage);

// Where variables speak of several processes; to be asked when MPI says one, or was not asked. None
// for the one process of an mpirun that a person started.
std::optional<Launch> launch_of_several(const std::vector<Process>& lineage);

}  // namespace cifar

// Open MPI's launcher: mpirun, and on other hosts its daemon orted. What to do when it will not
// end, and when it is gone.
#pragma once

#include <thread>

namespace cifar {

// To be called before MPI_Abort, which asks the launcher to end the job. When the link between two
// hosts is cut, mpirun and orted then wait for each other until TCP gives up, a quarter of an hour.
// So a child process, which outlives this one, looks after them: a launcher that is still there
// after three seconds has its connections shut down for it; it takes the other side for lost, and
// mpirun ends with the job's exit code. What is there one second later is killed.
void see_launcher_off();

// While it lives, a parent process that is gone (killed, say) counts as SIGTERM: a training writes
// its checkpoint. What it still prints is dropped, nobody reads it; the shared memory that Open MPI
// would leave behind is removed. A process that does not come to its end in some seconds is ended,
// with code 6. A stopped one is continued for that.
//
// To be made before MPI_Init: Open MPI itself ends a process one second after its launcher is gone,
// which is too soon for a checkpoint, and is told here to wait longer.
class LauncherWatch {
 public:
  LauncherWatch();

 private:
  std::jthread thread_;
};

}  // namespace cifar

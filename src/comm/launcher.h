// The end of Open MPI's launcher: mpirun, and on other hosts its daemon orted.
#pragma once

namespace cifar {

// To be called before MPI_Abort, which asks the launcher to end the job. When the link between two
// hosts is cut, mpirun and orted then wait for each other until TCP gives up, a quarter of an hour.
// So a child process, which outlives this one, looks after them: a launcher that is still there
// after three seconds has its connections shut down for it; it takes the other side for lost, and
// mpirun ends with the job's exit code. What is there one second later is killed.
void see_launcher_off();

}  // namespace cifar

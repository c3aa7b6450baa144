// The processes of a job: an MPI session for the life of the program, made first and destroyed
// last. A process that no launcher started is a world of one and never initialises MPI. The start
// of MPI, its end and that of the process, and gather() have the deadline of a collective.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace cifar {

class World {
 public:
  // Error(kUsage) when a launcher that this MPI does not know (torchrun, srun without --mpi=pmix)
  // started several processes: each would train alone. `timeout` in seconds.
  World(int* argc, char*** argv, double timeout = 300);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this host
  int local_size() const { return local_size_; }
  const std::string& host() const { return host_; }
  const std::vector<std::string>& hosts() const { return hosts_; }  // by rank
  // Cores that this rank may use for itself: its affinity mask, divided by the local ranks with the
  // same mask, or its share of a cgroup's CPU quota, if that is less. mpirun -np 2 binds each rank
  // to one core.
  int cores() const { return cores_; }
  const std::string& cpus() const { return cpus_; }  // the affinity mask, "0-3,8"
  // Where cores() comes from, if a quota bounds it: "1.5 of /sys/fs/cgroup/cpu.max"; else empty.
  const std::string& quota() const { return quota_; }

  // For a warning: a shell's variables speak of processes that were not started; else empty.
  const std::string& note() const { return note_; }

  // The texts of all ranks, by rank; every rank calls it. Longer texts are cut at 255 bytes.
  std::vector<std::string> gather(const std::string& text) const;

  // What an error line says behind its text: `where`, and the rank and host of several.
  std::string context(const std::string& where) const;

  // Ends all ranks of the job with this exit code. MPI_Abort is the only way an exit code survives
  // both mpirun and srun; when it hangs, as it does when the launcher cannot be reached, this
  // process ends after five seconds all the same. Also for a world that did not come about.
  [[noreturn]] static void abort(int code);

  // For the other files of comm/ alone; null without MPI.
  struct Mpi;
  Mpi* mpi() const { return mpi_.get(); }

 private:
  void connect(int* argc, char*** argv);
  void count_cores(int cpus);

  double timeout_;
  std::unique_ptr<Mpi> mpi_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, cores_ = 1;
  std::string host_, cpus_, quota_, note_;
  std::vector<std::string> hosts_;
};

// "MPI 3.1, Open MPI v4.1.4", for doctor.
std::string mpi_version();

}  // namespace cifar

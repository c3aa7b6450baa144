// The processes of a job: an MPI session for the life of the program, made first and destroyed
// last. A process that no launcher started is a world of one and never initialises MPI.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace cifar {

class World {
 public:
  // Error(kUsage) when srun started several tasks without --mpi=pmix: each would train alone.
  World(int* argc, char*** argv);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this host
  int local_size() const { return local_size_; }
  const std::string& host() const { return host_; }
  // Cores that this rank may use for itself: its affinity mask, divided by the local ranks with the
  // same mask. mpirun -np 2 binds each rank to one core.
  int cores() const { return cores_; }

  // The texts of all ranks, by rank; every rank calls it. Longer texts are cut at 255 bytes.
  std::vector<std::string> gather(const std::string& text) const;

  // Ends all ranks of the job with this exit code. MPI_Abort is the only way an exit code survives
  // both mpirun and srun.
  [[noreturn]] void abort(int code) const;

  // For the other files of comm/ alone; null without MPI.
  struct Mpi;
  const Mpi* mpi() const { return mpi_.get(); }

 private:
  std::unique_ptr<Mpi> mpi_;
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1, cores_ = 1;
  std::string host_;
};

// "MPI 3.1, Open MPI v4.1.4", for doctor.
std::string mpi_version();

}  // namespace cifar

// The mpi body: non-blocking collectives in host memory, each waited for with a deadline.
#pragma once

#include <chrono>
#include <vector>

#include "comm/communicator.h"
#include "comm/mpi_handle.h"

namespace cifar {

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(const World& world, double timeout) : world_(world), timeout_(timeout) {}

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string name() const override { return "mpi"; }

  void start_all_reduce_sum(torch::Tensor tensor) override;
  void finish() override;
  void broadcast(torch::Tensor tensor, int root) override;
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override;
  void barrier() override;

 private:
  struct Pending {
    torch::Tensor tensor;  // the caller's
    torch::Tensor host;    // what MPI works on: the same, or a copy of a CUDA tensor
    MPI_Request request;
  };

  void wait(MPI_Request& request, const char* operation);

  const World& world_;
  double timeout_;
  std::vector<Pending> pending_;
};

}  // namespace cifar

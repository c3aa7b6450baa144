// The mpi body: non-blocking operations in host memory, each waited for with a deadline.
#pragma once

#include <mpi.h>

#include <vector>

#include "comm/communicator.h"
#include "comm/mpi_sum.h"
#include "comm/roll_call_rules.h"

namespace cifar {

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(const World& world, double timeout) : world_(world), timeout_(timeout) {}
  ~MpiCommunicator() override;

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string name() const override { return "mpi"; }
  bool can_be_captured() const override { return false; }

  void start_all_reduce_sum(torch::Tensor tensor) override;
  void finish() override { finish_from(0); }
  void broadcast(torch::Tensor tensor, int root) override;
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override;
  void barrier() override;

 private:
  struct Pending {
    torch::Tensor result;  // the caller's, for what MPI writes to; else undefined
    torch::Tensor host;    // what MPI works on: the caller's own, or a copy of a CUDA tensor
    MPI_Request request;
    Operation operation;
  };

  // `call(data, count, type, request)` starts it, or a part of it, in MPI.
  template <typename Call>
  void begin(const Operation& operation, torch::Tensor result, torch::Tensor host,
             const Call& call);
  Operation next(const char* name) const;
  // Waits for all but the first so many of what is under way.
  void finish_from(size_t first);

  const World& world_;
  double timeout_;
  MpiSum sum_;
  std::vector<Pending> pending_;
};

}  // namespace cifar

// Collectives over the ranks of a job, on tensors. Three bodies, chosen at run time: self (one
// rank), mpi (host memory; CUDA tensors are staged through it) and nccl (one GPU a rank).
//
// Contract: every rank makes the same calls in the same order with tensors of the same size and
// type (float32, float64, int64, uint8), contiguous. Sums are left as sums: the caller divides. CPU
// tensors are done on return (of finish(), for those that were started); CUDA tensors are ordered
// by the current stream, and the host does not wait. All ranks end with the same bits. A wait
// longer than the deadline is an Error(kPeerLost).
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "comm/world.h"

namespace cifar {

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string name() const = 0;

  // Begins an in-place sum over all ranks; the tensor is not touched until finish(). Safe to call
  // while backward still computes other tensors.
  virtual void start_all_reduce_sum(torch::Tensor tensor) = 0;
  virtual void finish() = 0;
  virtual void broadcast(torch::Tensor tensor, int root) = 0;
  virtual void barrier() = 0;

  void all_reduce_sum(torch::Tensor tensor) {
    start_all_reduce_sum(std::move(tensor));
    finish();
  }
};

// `kind`: self | mpi | nccl. nccl takes the current CUDA device. `timeout` in seconds.
std::unique_ptr<Communicator> make_communicator(const std::string& kind, const World& world,
                                                double timeout);

}  // namespace cifar

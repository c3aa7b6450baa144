// Collectives over the ranks of a job, on tensors. Three bodies, chosen at run time: self (one
// rank), mpi (host memory; CUDA tensors are staged through it) and nccl (one GPU a rank).
//
// Contract: every rank makes the same calls in the same order with tensors of the same size and
// type (float32, float64, float16, bfloat16, int64, uint8), contiguous. Sums are left as sums: the
// caller divides. CPU tensors are done on return (of finish(), for those that were started); CUDA
// tensors are ordered by the current stream, and the host does not wait. All ranks end with the
// same bits. A wait longer than the deadline is a PeerLost that names the ranks that did not come,
// and the operation.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/world.h"

namespace cifar {

// A rank did not come in time, or its connection broke. Those that are left agree on one that
// throws this first; it is to be told at once, and MPI_Abort ends the others.
class PeerLost : public Error {
  using Error::Error;
};

// What one rank sends and `peer` receives, or the other way round.
struct Message {
  torch::Tensor tensor;
  int peer;
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string name() const = 0;
  // Whether collectives of CUDA tensors may be part of a CUDA graph: then they use the stream
  // alone.
  virtual bool can_be_captured() const { return true; }

  // [elements] of zeros for what is reduced again and again, where the body reaches it best. Every
  // rank calls it alike; the tensor must not outlive the communicator.
  virtual torch::Tensor allocate(int64_t elements, const torch::TensorOptions& options) {
    return torch::zeros({elements}, options);
  }

  // Begins an in-place sum over all ranks; the tensor is not touched until finish(). Safe to call
  // while backward still computes other tensors.
  virtual void start_all_reduce_sum(torch::Tensor tensor) = 0;
  virtual void finish() = 0;
  virtual void broadcast(torch::Tensor tensor, int root) = 0;
  // All of these sends and receives at once. Between two ranks messages meet in the order of the
  // lists; none goes to the rank itself.
  virtual void exchange(const std::vector<Message>& sends,
                        const std::vector<Message>& receives) = 0;
  virtual void barrier() = 0;

  void all_reduce_sum(torch::Tensor tensor) {
    start_all_reduce_sum(std::move(tensor));
    finish();
  }

  // Gives what the current stream has been given so far the deadline of a collective: a captured
  // step is replayed without a call of this class.
  virtual void watch() {}

  // The step that the next calls belong to, for errors; -1: none.
  virtual void set_step(int64_t step) { step_ = step; }
  int64_t step() const { return step_; }

 private:
  int64_t step_ = -1;
};

// `kind`: self | mpi | nccl. nccl takes the current CUDA device. `timeout` in seconds.
std::unique_ptr<Communicator> make_communicator(const std::string& kind, const World& world,
                                                double timeout);

}  // namespace cifar

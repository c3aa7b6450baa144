// Adam, AdamW, SGD and Muon on a slice of the flat state, on the CPU or on a CUDA device. The first
// three are elementwise and one pass over memory (optim/update.h has PyTorch's formulas); Muon
// works on matrices (optim/muon.h). Results depend neither on ranks nor on the threads of the first
// three.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "config/config.h"

namespace cifar {

struct OptimizerTensor {
  std::string name;
  int64_t offset;  // in the slice, in elements
  std::vector<int64_t> sizes;
};

// What an optimizer is made for.
struct OptimizerSlice {
  torch::Tensor parameters;                          // contiguous float32 [n]
  std::vector<OptimizerTensor> tensors = {};         // that lie in it; Muon alone looks
  torch::ScalarType product_type = torch::kFloat32;  // of Muon's matrix products
  Communicator* comm =
      nullptr;  // over whose ranks Muon may divide them; must outlive the optimizer
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // What differs from step to step (the learning rate, Adam's corrections), as bytes: they may lie
  // on a device in a table made for many steps, so that a step there depends on no host value.
  virtual int64_t scalar_bytes() const = 0;
  // For update number `update`, from 1. `out` is aligned for float.
  virtual void write_scalars(int64_t update, double learning_rate, void* out) const = 0;

  // One update with these scalars: uint8 [scalar_bytes()]. All are contiguous tensors on the device
  // that the optimizer was made for; on CUDA the work is queued on the current stream.
  virtual void apply(torch::Tensor parameters, const torch::Tensor& gradients,
                     const torch::Tensor& scalars) = 0;

  // Update number steps() + 1.
  void step(torch::Tensor parameters, const torch::Tensor& gradients, double learning_rate);

  // By name, everything beside the parameters and steps() that the next step depends on: float32
  // tensors [n]. They are the optimizer's own memory: copy a checkpoint into them to resume.
  virtual std::vector<std::pair<std::string, torch::Tensor>> state() const = 0;

  // Updates so far; the bias correction depends on it.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  int64_t steps_ = 0;
};

// State of zeros beside the parameters. Error(kUsage) for an unknown name, Nesterov without
// momentum, and what Muon refuses.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          const OptimizerSlice& slice);

}  // namespace cifar

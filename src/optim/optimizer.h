// Adam, AdamW and SGD on the flat state: one pass over memory a step, on the CPU or on a CUDA
// device. Elementwise, so the result depends neither on ranks nor on threads. The numbers are
// PyTorch's (optim/update.h has the formulas).
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "config/config.h"

namespace cifar {

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // One update of all parameters. Contiguous float32 tensors [n] on the device that the optimizer
  // was made for; on CUDA the work is queued on the current stream.
  virtual void step(torch::Tensor parameters, const torch::Tensor& gradients,
                    double learning_rate) = 0;

  // By name, everything beside the parameters and steps() that the next step depends on: float32
  // tensors [n]. They are the optimizer's own memory: copy a checkpoint into them to resume.
  virtual std::vector<std::pair<std::string, torch::Tensor>> state() const = 0;

  // Updates so far; the bias correction depends on it.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 protected:
  int64_t steps_ = 0;
};

// State of zeros beside `parameters`. An unknown name or Nesterov without momentum: Error kUsage.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          const torch::Tensor& parameters);

}  // namespace cifar

// The precision of a forward pass: fp32, tf32 (GPU: fp32 tensors, TF32 products) or bf16 (autocast:
// convolutions and linear layers in bfloat16, weights and sums in fp32).
#pragma once

#include <torch/types.h>

#include <string>

namespace cifar {

class Precision {
 public:
  // Error(kUsage) for tf32 without a GPU.
  Precision(const std::string& name, torch::Device device);

  // Sets LibTorch's switches for matrix products and cuDNN, for the whole process. `deterministic`:
  // kernels that give the same bits each time, on GPUs of one kind.
  void apply(bool deterministic) const;

  // In its scope, forward passes run under autocast where the precision asks for it.
  class Scope {
   public:
    explicit Scope(const Precision& precision);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    const Precision& precision_;
    bool before_ = false;
  };

 private:
  torch::DeviceType device_;
  bool tf32_, bf16_;
};

}  // namespace cifar

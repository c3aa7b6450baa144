// The precision of a forward and backward pass: fp32, tf32 (GPU: fp32 tensors, TF32 products), bf16
// or fp16 (GPU). The last two are autocast: convolutions and linear layers in that type; weights,
// batch-norm's statistics, losses and gradients of weights in fp32.
#pragma once

#include <torch/types.h>

#include <string>

namespace cifar {

class Precision {
 public:
  // Error(kUsage) for tf32 and fp16 without a GPU.
  Precision(const std::string& name, torch::Device device);

  // Sets LibTorch's switches for matrix products and cuDNN, for the whole process. `deterministic`:
  // kernels that give the same bits each time, on GPUs of one kind.
  void apply(bool deterministic) const;

  // What the gradient of a mean loss is multiplied by before backward, and weights' gradients are
  // divided by: a power of two that keeps it in fp16's range; 1 for all others. A summed loss needs
  // none: of the 94% recipe its gradients reach 37, and 1,024 times that comes near fp16's end.
  double loss_scale() const { return type_ == torch::kHalf ? kHalfLossScale : 1; }
  static constexpr double kHalfLossScale = 1024;

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
  bool tf32_;
  torch::ScalarType type_;  // of convolutions and linear layers
};

}  // namespace cifar

// What one step of an optimizer does to one parameter, in float32: the formulas of
// torch.optim.Adam, AdamW and SGD (dampening 0). Both the CPU loop and the CUDA kernel call these
// functions. Adam: Kingma and Ba, arXiv:1412.6980; decoupled decay: Loshchilov and Hutter,
// arXiv:1711.05101; Nesterov momentum as PyTorch has it: Sutskever et al., ICML 2013, rewritten for
// the shifted point. Multiply-adds are fused where PyTorch's own CPU kernels fuse them: Adam
// divides by the root of squares, so that in the first steps a difference in the last bit grows a
// thousandfold within ten steps.
#pragma once

#include <cmath>

#include "base/host_device.h"

namespace cifar {

// What is the same for all parameters of a step; computed in double, rounded once.
struct AdamScalars {
  float weight_decay;  // L2: this times the parameter joins the gradient; 0 for AdamW
  float keep;          // decoupled: 1 - learning_rate * weight_decay; 1 for Adam
  float one_minus_beta1;
  float beta2;
  float one_minus_beta2;
  float step_size;        // learning_rate / (1 - beta1^t), t = 1 at the first step
  float root_correction;  // sqrt(1 - beta2^t)
  float epsilon;
};

CIFAR_HOST_DEVICE inline void adam_update(const AdamScalars& s, float& parameter, float gradient,
                                          float& exp_avg, float& exp_avg_sq) {
  gradient = fmaf(s.weight_decay, parameter, gradient);
  exp_avg = fmaf(s.one_minus_beta1, gradient - exp_avg, exp_avg);
  exp_avg_sq = fmaf(s.one_minus_beta2 * gradient, gradient, s.beta2 * exp_avg_sq);
  const float denominator = sqrtf(exp_avg_sq) / s.root_correction + s.epsilon;
  parameter = s.keep * parameter - s.step_size * exp_avg / denominator;
}

struct SgdScalars {
  float weight_decay;  // L2
  float momentum;
  float learning_rate;
  bool nesterov;
};

// A buffer of zeros before the first step makes that step's buffer the gradient, as in PyTorch.
CIFAR_HOST_DEVICE inline void sgd_update(const SgdScalars& s, float& parameter, float gradient,
                                         float& momentum_buffer) {
  gradient = fmaf(s.weight_decay, parameter, gradient);
  momentum_buffer = s.momentum * momentum_buffer + gradient;
  const float direction =
      s.nesterov ? fmaf(s.momentum, momentum_buffer, gradient) : momentum_buffer;
  parameter = fmaf(-s.learning_rate, direction, parameter);
}

}  // namespace cifar

// A linear layer with few outputs, and the flatten before it, as one operation of autograd on the
// kernels of kernels/linear.h. Gradients are added over images in order: they do not depend on the
// number of threads.
#pragma once

#include <torch/types.h>

#include "kernels/linear.h"

namespace cifar {

// Whether the kernels are to be taken: with few outputs. A rule on shapes, so that results do not
// depend on timing. Measured with 10 outputs behind a flatten of 2,048 (tests/bench/roofline, 8
// images: half of LibTorch's time); the limit itself was not.
bool kernels_pay(const LinearBlock& block);

// Whether linear_block takes these: float32 on the CPU, an input of the block's shape.
bool can_run_linear_block(const LinearBlock& block, const torch::Tensor& input,
                          const torch::Tensor& weight);

// The weights as the kernels read them; to be made again when they have changed.
torch::Tensor pack_weights(const LinearBlock& block, const torch::Tensor& weight);

// input [batch, channels, height, width] or [batch, channels], weight [out, features], `packed` its
// pack_weights(); `bias` may be undefined. Result [batch, out].
torch::Tensor linear_block(const LinearBlock& block, const torch::Tensor& input,
                           const torch::Tensor& weight, const torch::Tensor& packed,
                           const torch::Tensor& bias);

}  // namespace cifar

// A linear layer, and the flatten before it, on the kernels of kernels/linear.h
// and all of LibTorch's threads. Gradients are added over images in order: they do not depend on
// the number of threads.
#pragma once

#include <torch/types.h>

#include "kernels/linear.h"
#include "model/block_pass.h"

namespace cifar {

// Whether the kernels are faster than LibTorch: with up to 1,024 outputs they were, behind 2,048 or
// as many features, for 8 to 64 images (tests/bench/README.md); more were not measured. A rule on
// shapes, so that results do not depend on timing.
bool kernels_pay(const LinearBlock& block);

// Whether a float32 input on the CPU, an image or flat, has the block's shape.
bool fits(const LinearBlock& block, const torch::Tensor& input);

// The output, [batch, out], for pass.input and pass.packed. There are no winners to make.
torch::Tensor run_forward(const LinearBlock& block, BlockPass& pass, const torch::Tensor& bias,
                          bool winners);
void run_backward(const LinearBlock& block, const BlockPass& pass, const BlockGradients& gradients);

}  // namespace cifar

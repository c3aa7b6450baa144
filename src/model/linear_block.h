// A linear layer, and the flatten before it, on the kernels of kernels/linear.h and all of
// LibTorch's threads. Gradients are added over images in order: they do not depend on the number of
// threads.
#pragma once

#include <torch/types.h>

#include "kernels/linear.h"
#include "model/block_pass.h"

namespace cifar {

// Whether the kernels are to be taken: with up to 256 outputs. A rule on shapes, so that results do
// not depend on timing. Measured on AVX-512 with one thread, 8 and 64 images, 2,048 features and as
// many features as outputs (tests/bench/README.md): 2 to 4 times as fast as LibTorch with 128 and
// 256 outputs. With up to 1,024 they were ahead, too, but then packing takes as long as a few
// images, and LibTorch, which uses more threads for few images, may be faster with them; not
// measured.
bool kernels_pay(const LinearBlock& block);

// Whether a float32 input on the CPU, an image or flat, has the block's shape.
bool fits(const LinearBlock& block, const torch::Tensor& input);

// The output, [batch, out], for pass.input and pass.packed. There are no winners to make.
torch::Tensor run_forward(const LinearBlock& block, BlockPass& pass, const torch::Tensor& bias,
                          bool winners);
void run_backward(const LinearBlock& block, const BlockPass& pass, const BlockGradients& gradients);

}  // namespace cifar

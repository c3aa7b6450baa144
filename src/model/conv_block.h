// A convolution with the max-pool and ReLU behind it, on the kernels of kernels/conv_block.h and
// all of LibTorch's threads. Weight and bias gradients are added over images in chunks of fixed
// size, in order: they do not depend on the number of threads.
#pragma once

#include <torch/types.h>

#include "kernels/conv_block.h"
#include "model/block_pass.h"

namespace cifar {

// Whether the kernels are faster than LibTorch for this block, forward and backward together. A
// rule on shapes, so that results do not depend on timing. Measured with tests/bench/roofline on
// AVX-512: always with max-pool (1.4 to 3 times; 24 to 64 channels at 31x31, 64 to 256 at 15x15 and
// 256 to 256 at 7x7, without ReLU: 2.4, 2.5 and 2.0), since most outputs receive no gradient;
// without it only where a ReLU stops half of them, and then not for 1x1 (equal) or for few input
// channels (1.3 times slower with three). A bare convolution is 1.5 times slower.
bool kernels_pay(const ConvBlock& block);

// Whether a float32 input on the CPU has the block's shape.
bool fits(const ConvBlock& block, const torch::Tensor& input);

// The output of the block for pass.input and pass.packed. With `winners` it makes pass.winners,
// too.
torch::Tensor run_forward(const ConvBlock& block, BlockPass& pass, const torch::Tensor& bias,
                          bool winners);
void run_backward(const ConvBlock& block, const BlockPass& pass, const BlockGradients& gradients);

}  // namespace cifar

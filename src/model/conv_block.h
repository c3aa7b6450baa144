// A convolution with the max-pool and ReLU behind it as one operation of autograd, on the kernels
// of kernels/conv_block.h. Weight and bias gradients are added over images in chunks of fixed size,
// in order: they do not depend on the number of threads.
#pragma once

#include <torch/types.h>

#include "kernels/conv_block.h"

namespace cifar {

// Whether the kernels are faster than LibTorch for this block, forward and backward together. A
// rule on shapes, so that results do not depend on timing. Measured with tests/bench/roofline on
// AVX-512: always with max-pool (1.4 to 3 times; 24 to 64 channels at 31x31, 64 to 256 at 15x15 and
// 256 to 256 at 7x7, without ReLU: 2.4, 2.5 and 2.0), since most outputs receive no gradient;
// without it only where a ReLU stops half of them, and then not for 1x1 (equal) or for few input
// channels (1.3 times slower with three). A bare convolution is 1.5 times slower.
bool kernels_pay(const ConvBlock& block);

// Whether conv_block takes these: float32 on the CPU, an input of the block's shape.
bool can_run_conv_block(const ConvBlock& block, const torch::Tensor& input,
                        const torch::Tensor& weight);

// The weights as the kernels read them; to be made again when they have changed.
torch::Tensor pack_weights(const ConvBlock& block, const torch::Tensor& weight);

// input [batch, in_channels, height, width], weight [out_channels, in_channels, kernel, kernel] and
// the result channels_last (other input is brought into that order first); `packed` is
// pack_weights() of the weight; bias may be undefined.
torch::Tensor conv_block(const ConvBlock& block, const torch::Tensor& input,
                         const torch::Tensor& weight, const torch::Tensor& packed,
                         const torch::Tensor& bias);

}  // namespace cifar

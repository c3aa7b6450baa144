// Max-pool and ReLU in one pass over memory, forward and backward, on the CPU. LibTorch's two
// operators read and write the large image three times more, and most of that is zeros.
//
// The same numbers as relu(max_pool2d(input)): the first of equal values wins, NaN is passed on.
#pragma once

#include <torch/types.h>

namespace cifar {

// Whether pool_relu takes this input: float32 on the CPU, windows that tile the image.
bool can_pool_relu(const torch::Tensor& input, int64_t kernel, int64_t stride);

// float32 [batch, channels, height, width] -> [batch, channels, height / kernel, width / kernel],
// both channels_last (another input is brought into that order first).
torch::Tensor pool_relu(const torch::Tensor& input, int64_t kernel);

}  // namespace cifar

// One block's pass over a batch, as its forward pass leaves it and its backward pass needs it.
#pragma once

#include <torch/types.h>

namespace cifar {

struct BlockPass {
  torch::Tensor input;    // [batch, channels, height, width] channels_last, or [batch, features]
  torch::Tensor packed;   // the weight as the kernels read it
  torch::Tensor winners;  // of max-pool, as kernels/conv_block.h has them; a linear layer's: none
};

struct BlockGradients {
  torch::Tensor output;  // given, in the memory order of the output
  // Memory to be written, in the order of what it is the gradient of; bias and input may be
  // undefined.
  torch::Tensor weight, bias, input;
};

inline const float* data_or_null(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}
inline float* memory_or_null(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}

}  // namespace cifar

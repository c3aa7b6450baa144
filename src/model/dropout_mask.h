// Fills the mask of a dropout layer, on the CPU or on the current CUDA stream.
#pragma once

#include <torch/types.h>

#include "model/dropout.h"

namespace cifar {

struct DropoutLayer {
  uint32_t index;  // in the layer list
  float probability;
};

// `mask`: float32 [batch, elements], overwritten; `samples`: int32 [batch], and `now`, on the same
// device.
void fill_dropout_mask(const DropoutLayer& layer, const StepValues* now,
                       const torch::Tensor& samples, torch::Tensor mask);

}  // namespace cifar

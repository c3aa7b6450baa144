// Fills the mask of a dropout layer, on the CPU or on the current CUDA stream.
#pragma once

#include <torch/types.h>

#include "model/dropout.h"

namespace cifar {

// `mask`: float32 [batch, elements], overwritten; `samples`: int32 [batch] on the same device.
void fill_dropout_mask(const DropoutKey& key, const torch::Tensor& samples, torch::Tensor mask);

}  // namespace cifar

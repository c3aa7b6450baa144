// The CUDA side of fill_dropout_mask; plain pointers, so that the .cu file needs no LibTorch.
#pragma once

#include <cuda_runtime_api.h>

#include "model/dropout.h"

namespace cifar {

// mask: float [batch, elements] in device memory, samples: int [batch], `now` too.
void launch_dropout_mask(uint32_t layer, float probability, const StepValues* now,
                         const int32_t* samples, int64_t batch, int64_t elements, float* mask,
                         cudaStream_t stream);

}  // namespace cifar

// One step of an optimizer for all parameters on a CUDA device: one kernel, queued on `stream`.
// Scalars and arrays are on the current device, the arrays `size` (at least 1) float32 long and do
// not overlap. Returns what the launch said.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "optim/update.h"

namespace cifar {

cudaError_t launch_update(cudaStream_t stream, const AdamScalars* scalars, int64_t size,
                          float* parameters, const float* gradients, float* exp_avg,
                          float* exp_avg_sq);

cudaError_t launch_update(cudaStream_t stream, const SgdScalars* scalars, int64_t size,
                          float* parameters, const float* gradients, float* momentum_buffer);

}  // namespace cifar

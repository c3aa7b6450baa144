// A step's turn of the meter on a CUDA device, in one kernel queued on `stream`. All arrays are in
// device memory, `reduced` `size` (at least 1) long. Returns what the launch said.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "base/step_values.h"
#include "train/meter_sums.h"

namespace cifar {

cudaError_t launch_meter(cudaStream_t stream, const StepValues* now, double samples,
                         const float* metrics, const float* reduced, int64_t size, MeterSums* sums);

}  // namespace cifar

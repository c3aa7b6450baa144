// The GPU's gather: batches.cpp fills the arguments, batches.cu launches the kernel. Free of
// LibTorch, for the CUDA compiler. All pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "base/step_values.h"
#include "data/augment.h"

namespace cifar {

struct GatherArguments {
  const uint8_t* images;  // [N, 3, 32, 32], 16-byte aligned
  const uint8_t* labels;  // [N]
  const int32_t* order;   // indices into N
  const StepValues* now;  // its `first` is where the step begins in the order
  int64_t offset;         // of the first image behind that
  int64_t count;          // at least 1
  Augmentation augmentation;
  float* out_images;     // [count, 32, 32, 3], that is channels_last; 16-byte aligned
  int64_t* out_labels;   // [count]
  int32_t* out_samples;  // [count]
};

void launch_gather(const GatherArguments& arguments, cudaStream_t stream);

}  // namespace cifar

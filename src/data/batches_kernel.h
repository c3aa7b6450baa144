// The GPU's gather: batches.cpp fills the arguments, batches.cu launches the kernel. Free of
// LibTorch, for the CUDA compiler. All pointers are device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "data/augment.h"

namespace cifar {

struct GatherArguments {
  const uint8_t* images;   // [N, 3, 32, 32], 16-byte aligned
  const uint8_t* labels;   // [N]
  const int32_t* samples;  // [count] indices into N
  int64_t count;           // at least 1
  Augmentation augmentation;
  uint64_t seed;
  uint32_t epoch;
  float* out_images;    // [count, 32, 32, 3], that is channels_last; 16-byte aligned
  int64_t* out_labels;  // [count]
};

void launch_gather(const GatherArguments& arguments, cudaStream_t stream);

}  // namespace cifar

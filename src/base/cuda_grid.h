// For CUDA kernels that go over an array with as many threads as suit it, each taking every so
// many-th element.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cifar {

constexpr int kThreadsPerBlock = 256;
constexpr int64_t kMaxBlocks = 4096;  // each thread then takes several elements

inline unsigned blocks_for(int64_t size) {
  return static_cast<unsigned>(
      std::min((size + kThreadsPerBlock - 1) / kThreadsPerBlock, kMaxBlocks));
}

#ifdef __CUDACC__
__device__ inline int64_t first_element() {
  return int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ inline int64_t element_stride() {
  return int64_t{gridDim.x} * blockDim.x;
}
#endif

}  // namespace cifar

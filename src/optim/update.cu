#include "base/cuda_grid.h"
#include "optim/update_kernels.h"

namespace cifar {
namespace {

__global__ void adam_kernel(const AdamScalars* scalars, int64_t size,
                            float* __restrict__ parameters, const float* __restrict__ gradients,
                            float* __restrict__ exp_avg, float* __restrict__ exp_avg_sq) {
  const AdamScalars now = *scalars;
  for (int64_t i = first_element(); i < size; i += element_stride()) {
    adam_update(now, parameters[i], gradients[i], exp_avg[i], exp_avg_sq[i]);
  }
}

__global__ void sgd_kernel(const SgdScalars* scalars, int64_t size, float* __restrict__ parameters,
                           const float* __restrict__ gradients,
                           float* __restrict__ momentum_buffer) {
  const SgdScalars now = *scalars;
  for (int64_t i = first_element(); i < size; i += element_stride()) {
    sgd_update(now, parameters[i], gradients[i], momentum_buffer[i]);
  }
}

}  // namespace

cudaError_t launch_update(cudaStream_t stream, const AdamScalars* scalars, int64_t size,
                          float* parameters, const float* gradients, float* exp_avg,
                          float* exp_avg_sq) {
  adam_kernel<<<blocks_for(size), kThreadsPerBlock, 0, stream>>>(scalars, size, parameters,
                                                                 gradients, exp_avg, exp_avg_sq);
  return cudaGetLastError();
}

cudaError_t launch_update(cudaStream_t stream, const SgdScalars* scalars, int64_t size,
                          float* parameters, const float* gradients, float* momentum_buffer) {
  sgd_kernel<<<blocks_for(size), kThreadsPerBlock, 0, stream>>>(scalars, size, parameters,
                                                                gradients, momentum_buffer);
  return cudaGetLastError();
}

}  // namespace cifar

#include "model/dropout_kernel.h"

namespace cifar {
namespace {

__global__ void dropout_mask(uint32_t layer, float probability, const StepValues* now,
                             const int32_t* samples, int64_t batch, int64_t elements, float* mask) {
  const int64_t quads = (elements + 3) / 4;
  const int64_t index = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (index >= batch * quads) return;
  const int64_t row = index / quads;
  const int64_t quad = index % quads;
  const DropoutKey key = dropout_key(*now, layer, probability);
  float factor[4];
  dropout_factors(key, static_cast<uint32_t>(samples[row]), static_cast<uint32_t>(quad), factor);
  for (int i = 0; i < 4 && 4 * quad + i < elements; ++i) {
    mask[row * elements + 4 * quad + i] = factor[i];
  }
}

}  // namespace

void launch_dropout_mask(uint32_t layer, float probability, const StepValues* now,
                         const int32_t* samples, int64_t batch, int64_t elements, float* mask,
                         cudaStream_t stream) {
  const int64_t threads = batch * ((elements + 3) / 4);
  if (threads == 0) return;
  const int64_t blocks = (threads + 255) / 256;
  dropout_mask<<<static_cast<unsigned>(blocks), 256, 0, stream>>>(layer, probability, now, samples,
                                                                  batch, elements, mask);
}

}  // namespace cifar

#include "model/dropout_mask.h"

#include <algorithm>

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAStream.h>

#include "model/dropout_kernel.h"
#endif

namespace cifar {

void fill_dropout_mask(const DropoutLayer& layer, const StepValues* now,
                       const torch::Tensor& samples, torch::Tensor mask) {
  const int64_t batch = mask.size(0), elements = mask.size(1);
  const int32_t* sample = samples.const_data_ptr<int32_t>();
  float* out = mask.mutable_data_ptr<float>();
#if CIFAR_HAS_CUDA
  if (mask.is_cuda()) {
    launch_dropout_mask(layer.index, layer.probability, now, sample, batch, elements, out,
                        c10::cuda::getCurrentCUDAStream());
    return;
  }
#endif
  const DropoutKey key = dropout_key(*now, layer.index, layer.probability);
  for (int64_t row = 0; row < batch; ++row) {
    for (int64_t first = 0; first < elements; first += 4) {
      float factor[4];
      dropout_factors(key, static_cast<uint32_t>(sample[row]), static_cast<uint32_t>(first / 4),
                      factor);
      std::copy_n(factor, std::min<int64_t>(4, elements - first), out + row * elements + first);
    }
  }
}

}  // namespace cifar

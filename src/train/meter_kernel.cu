#include "base/cuda_grid.h"
#include "train/meter_kernel.h"

namespace cifar {
namespace {

__global__ void meter(const StepValues* now, double samples, const float* metrics,
                      const float* __restrict__ reduced, int64_t size, MeterSums* sums) {
  if (first_element() == 0) add_metrics(metrics, samples, *sums);
  bool finite = true;
  for (int64_t i = first_element(); i < size; i += element_stride()) {
    finite = finite && is_finite(reduced[i]);
  }
  if (!finite) atomicMin(&sums->first_bad, static_cast<long long>(now->step));
}

}  // namespace

cudaError_t launch_meter(cudaStream_t stream, const StepValues* now, double samples,
                         const float* metrics, const float* reduced, int64_t size,
                         MeterSums* sums) {
  meter<<<blocks_for(size), kThreadsPerBlock, 0, stream>>>(now, samples, metrics, reduced, size,
                                                           sums);
  return cudaGetLastError();
}

}  // namespace cifar

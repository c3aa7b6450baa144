#include "train/meter.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/instruction_sets.h"
#include "data/upload.h"
#include "train/meter_sums.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "train/meter_kernel.h"
#endif

namespace cifar {
namespace {

CIFAR_FOR_EACH_ISA
bool all_finite(const float* values, int64_t size) {
  int others = 0;
  for (int64_t i = 0; i < size; ++i) others += !is_finite(values[i]);
  return others == 0;
}

}  // namespace

Meter::Meter(const FlatState& flat)
    : flat_(flat),
      sums_(torch::empty({static_cast<int64_t>(sizeof(MeterSums))},
                         flat.metrics().options().dtype(torch::kUInt8))) {
  clear();
}

void Meter::clear() {
  const MeterSums none;
  upload(&none, sums_);
}

void Meter::add(const StepValues* now, int64_t samples) {
  const auto* metrics = flat_.metrics().const_data_ptr<float>();
  const auto* reduced = flat_.reduced().const_data_ptr<float>();
  const int64_t size = flat_.reduced().numel();
  auto* sums = static_cast<MeterSums*>(sums_.mutable_data_ptr());
#if CIFAR_HAS_CUDA
  if (sums_.is_cuda()) {
    C10_CUDA_CHECK(launch_meter(c10::cuda::getCurrentCUDAStream(), now,
                                static_cast<double>(samples), metrics, reduced, size, sums));
    return;
  }
#endif
  add_metrics(metrics, static_cast<double>(samples), *sums);
  if (!all_finite(reduced, size)) sums->first_bad = std::min<long long>(sums->first_bad, now->step);
}

Wishes Meter::read(Position& position) {
  const torch::Tensor host = sums_.cpu();
  const MeterSums sums = *static_cast<const MeterSums*>(host.const_data_ptr());
  if (sums.first_bad != MeterSums{}.first_bad) {
    throw Error(ExitCode::kDiverged, fmt::format("step {}", sums.first_bad),
                "the loss or a gradient is not finite",
                "finite numbers (a lower --learning-rate?); the last checkpoint is sound");
  }
  clear();
  position.loss_sum += sums.loss;
  position.correct += sums.correct;
  return {sums.stops > 0, sums.checkpoints > 0};
}

}  // namespace cifar

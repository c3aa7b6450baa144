#include "train/precision.h"

#include <ATen/autocast_mode.h>

#include <cstdlib>

#include "base/error.h"
#include "comm/tensor_type.h"

namespace cifar {
Precision::Precision(const std::string& name, torch::Device device)
    : device_(device.type()), tf32_(name == "tf32"), type_(scalar_type_of(name)) {
  if ((tf32_ || type_ == torch::kHalf) && !device.is_cuda()) {
    throw Error(ExitCode::kUsage, "--precision", name + " on the CPU", "fp32 or bf16, or a GPU");
  }
}

void Precision::apply(bool deterministic) const {
  at::globalContext().setAllowTF32CuDNN(tf32_);
  at::globalContext().setAllowTF32CuBLAS(tf32_);
  // cuDNN's benchmark picks whichever kernel was the fastest that time.
  at::globalContext().setBenchmarkCuDNN(!deterministic);
  at::globalContext().setDeterministicCuDNN(deterministic);
  // Read when cuBLAS is first used: with workspaces of its own choice it may add in another order.
  if (deterministic) setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
}

Precision::Scope::Scope(const Precision& precision) : precision_(precision) {
  if (precision_.type_ == torch::kFloat32) return;
  before_ = at::autocast::is_autocast_enabled(precision_.device_);
  at::autocast::set_autocast_dtype(precision_.device_, precision_.type_);
  at::autocast::set_autocast_enabled(precision_.device_, true);
}

Precision::Scope::~Scope() {
  if (precision_.type_ == torch::kFloat32) return;
  at::autocast::set_autocast_enabled(precision_.device_, before_);
  at::autocast::clear_cache();  // holds copies in that type of weights that the update makes stale
}

}  // namespace cifar

// A test that needs a GPU; where none is, or the build is CPU-only, it skips and says so. TF32 and
// cuDNN's choice among algorithms are off, so that results can be compared.
#pragma once

#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

#include "comm/communicator.h"
#include "comm/world.h"

namespace cifar {

class GpuTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!CIFAR_HAS_CUDA) GTEST_SKIP() << "a CPU-only build";
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU here";
#if CIFAR_HAS_CUDA
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool());  // the default has no capture
#endif
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
    at::globalContext().setBenchmarkCuDNN(false);
    at::globalContext().setDeterministicCuDNN(true);
  }

  std::unique_ptr<Communicator> communicator(const std::string& kind) const {
    return make_communicator(kind, world_, 60);
  }

  World world_{nullptr, nullptr};  // no launcher started this: a world of one
  torch::Device gpu_{torch::kCUDA, 0};
};

}  // namespace cifar

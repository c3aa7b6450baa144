// A test under mpirun: every rank runs it, on the CPU and, where there is one, on a GPU that the
// ranks share. main.cpp makes the World before any test and ends it after all.
#pragma once

#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>
#include <torch/types.h>

#include <memory>

#include "comm/communicator.h"
#include "comm/world.h"

namespace cifar {

constexpr double kPatience = 60;  // seconds; CTest's own limit is longer

class MpiTest : public testing::TestWithParam<torch::DeviceType> {
 public:
  static const World* world;

 protected:
  void SetUp() override {
    if (GetParam() == torch::kCPU) return;
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU here, or a CPU-only build";
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }

  int rank() const { return world->rank(); }
  int size() const { return world->size(); }
  torch::Device device() const {
    if (GetParam() == torch::kCPU) return torch::kCPU;
    const int index = world->local_rank() % static_cast<int>(torch::cuda::device_count());
    return {torch::kCUDA, static_cast<c10::DeviceIndex>(index)};
  }
  std::unique_ptr<Communicator> communicator(double timeout = kPatience) const {
    return make_communicator("mpi", *world, timeout);
  }
};

inline std::string device_name(const testing::TestParamInfo<torch::DeviceType>& device) {
  return device.param == torch::kCPU ? "cpu" : "cuda";
}

}  // namespace cifar

// Which device a rank computes on.
#pragma once

#include <torch/types.h>

#include <string>

#include "comm/world.h"

namespace cifar {

struct DeviceChoice {
  torch::Device device;
  std::string comm;  // self | mpi | nccl
};

// `device`: auto | cpu | cuda, `comm`: auto | self | mpi | nccl. auto takes a GPU where there is
// one. With GPUs each local rank takes its own; a rank that sees one device takes that (a batch
// system gave it). Two ranks on one GPU are refused, unless comm is mpi. Error(kUsage) says what to
// change. Every rank calls it.
DeviceChoice choose_device(const std::string& device, const std::string& comm, const World& world);

// CUDA_VISIBLE_DEVICES: its value, unset or empty.
std::string visible_devices();

// One line a visible device: name, memory, UUID; empty on the CPU.
std::string describe_devices();

}  // namespace cifar

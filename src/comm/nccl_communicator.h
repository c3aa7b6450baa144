// The nccl body: CUDA tensors over NCCL on a stream of its own, so that a reduction runs beside
// backward; CPU tensors go over MPI. Does not take two ranks on one GPU.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace cifar {

std::unique_ptr<Communicator> make_nccl_communicator(const World& world, double timeout);

// "2.28.9", or "not built in".
std::string nccl_version();

}  // namespace cifar

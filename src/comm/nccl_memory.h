// Device memory that NCCL allocates and registers with a communicator, so that its kernels reach it
// on other GPUs without a copy in between. As ncclMemAlloc has it where the device allows, else
// ordinary memory. Compiled where there is NCCL; on hardware it has not been tried.
#pragma once

#include <nccl.h>
#include <torch/types.h>

#include <functional>

namespace cifar {

// [elements] of zeros on the current device, which is the options'. Every rank calls it with the
// same number, and lets go of the tensor before the communicator ends. `settle` waits for a call
// that is under way.
torch::Tensor nccl_memory(ncclComm_t comm, int64_t elements, const torch::TensorOptions& options,
                          const std::function<void(ncclResult_t)>& settle);

}  // namespace cifar

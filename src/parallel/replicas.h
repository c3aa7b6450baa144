// Finds ranks whose copy of the training state is not like the others': a flipped bit, a broken
// GPU, a library that adds in another order.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace cifar {

struct ReplicaTensor {
  std::string name;
  torch::Tensor tensor;  // any device; one hash over its values
};

// Compares a 128-bit hash of each tensor over all ranks; every rank calls it with tensors of the
// same names. Error(kReplicasDiffer) on all ranks, which names the first tensors that differ and,
// where more than half of the ranks agree, the ranks that do not. Waits for the device.
void check_replicas(const std::vector<ReplicaTensor>& tensors, Communicator& comm);

}  // namespace cifar

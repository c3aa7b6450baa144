// The weights alone, out of a file that this program or Python wrote.
#pragma once

#include <string>

#include "train/checkpoint.h"

namespace cifar {

// From a checkpoint of this program, or from what torch.save made of a state dict, or of a dict
// that has one as "model". In float32; batch-norm's num_batches_tracked, which nothing here reads,
// is left out. Error(kCheckpoint) for anything else. `file` is for messages.
NamedTensors weights_of(const std::string& bytes, const std::string& file);

}  // namespace cifar

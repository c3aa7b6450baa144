// The weights alone, out of a file that this program or Python wrote.
#pragma once

#include <string>

#include "train/checkpoint.h"

namespace cifar {

struct Weights {
  NamedTensors tensors;    // of any float or integer type, any strides
  std::string taken_away;  // the prefix that all names had, "module."; mostly empty
};

// A network whose weights are in a file of so many bytes has no more of them than this; memory for
// more is not to be asked for. Small networks pass, so that the tensor that does not fit is named.
int64_t most_weights_of(size_t bytes);

// "", or " (its names without \"module.\")".
std::string remark_on(const Weights& weights);

// From a checkpoint of this program, a safetensors file, or what torch.save made of a state dict,
// or of a dict that has one as "model", "state_dict" or "model_state_dict"; two of them at once are
// an error. What lies beside the weights may be anything. Prefixes "module." and "_orig_mod." that
// every name has are taken away; batch-norm's num_batches_tracked, which nothing here reads, is
// left out. Error(kCheckpoint) for anything else, which says what the file is if that is known.
// `file` is for messages.
Weights weights_of(const std::string& bytes, const std::string& file);

}  // namespace cifar

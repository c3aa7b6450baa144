// A checkpoint in memory, and its file: what torch.save would write in Python (a zip archive with a
// pickled dict), plus a trailer with a 128-bit hash of all bytes before it. In Python:
//
//   torch.load(path, weights_only=True)["model"]    a state dict for the matching nn.Sequential
//
// The dict: format (int), program, recipe (TOML), data_hash, position {...}, model {name: tensor},
// optimizer {name, steps, state {moment: {name: tensor}}}.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <string_view>

#include "train/state.h"

namespace cifar {

using NamedTensors = std::map<std::string, torch::Tensor>;  // on the CPU

struct Checkpoint {
  std::string recipe;  // the resolved configuration, as TOML
  Position position;
  NamedTensors model;     // parameters and buffers
  std::string optimizer;  // its name, or of several "muon+sgd"
  int64_t optimizer_steps = 0;
  std::map<std::string, NamedTensors> optimizer_state;
  std::string data_hash;  // of the images of the last step; empty: an older version did not say
};

// Copies the state off the device; waits for it.
Checkpoint take_checkpoint(const TrainState& state, const std::string& recipe);
// Error(kCheckpoint) naming the first tensor that is missing, superfluous or of another shape, or
// has numbers that are not finite. `file` is for messages.
void restore(const Checkpoint& checkpoint, const std::string& file, TrainState& state);
// The weights alone, of any type and strides; `network` may be on any device.
void restore_weights(const NamedTensors& weights, const std::string& file,
                     torch::nn::Module& network);

// The bytes of the file, trailer included.
std::string serialize(const Checkpoint& checkpoint);
// Whether the trailer is there, sound or not.
bool is_checkpoint(std::string_view bytes);
// Error(kCheckpoint) for bytes that are cut off, altered, of a newer format, or no checkpoint.
Checkpoint deserialize(const std::string& bytes, const std::string& file);

}  // namespace cifar

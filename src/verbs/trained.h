// The network that --checkpoint names, as evaluate, predict and inspect need it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "train/run_directory.h"
#include "verbs/verbs.h"

namespace cifar {

struct Trained {
  std::string file;                      // that was read
  std::optional<Checkpoint> checkpoint;  // none: a state dict that Python wrote
  Config config;                         // the checkpoint's recipe, under the flags
  std::shared_ptr<Network> network;      // on the CPU
};

// A checkpoint, the newest sound one of a run directory, or a state dict of the network that the
// command line tells. Error(kUsage) without --checkpoint, Error(kCheckpoint) for what is neither.
Trained load_trained(const Invocation& invocation);

// "FILE: step 14080", or "FILE: a state dict".
std::string title_of(const Trained& trained);

}  // namespace cifar

// The network that --checkpoint names, as evaluate, predict and inspect need it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "train/predictions.h"
#include "train/run_directory.h"
#include "verbs/setup.h"

namespace cifar {

struct Trained {
  std::string file;                      // that was read
  std::optional<Checkpoint> checkpoint;  // none: a state dict that Python wrote
  std::string remark;                    // on how that was read
  Config config;                         // the checkpoint's recipe, under the flags
  std::shared_ptr<Network> network;      // on the CPU
};

// A checkpoint, the newest sound one of a run directory, or a state dict of the network that the
// command line tells. Error(kUsage) without --checkpoint, Error(kCheckpoint) for what is neither.
Trained load_trained(const Invocation& invocation);
// The same for `where` in the place of --checkpoint.
Trained load_trained(const Invocation& invocation, const std::string& where);

// What the network says of these images, on the device and with the precision and the test-time
// augmentation that its recipe and the flags ask for; every rank calls it and gets all.
std::vector<Prediction> predictions_of(const Trained& trained, const Samples& samples,
                                       const Invocation& invocation);

// "FILE: step 14080", or "FILE: a state dict".
std::string title_of(const Trained& trained);

}  // namespace cifar

// Whether a run goes on with the images that it began with. In the middle of an epoch it must: the
// rest of the epoch would not be what it would have been. At an epoch's end other images are the
// user's business, and written down.
#pragma once

#include "base/log.h"
#include "data/cifar10.h"
#include "train/run_directory.h"
#include "train/run_facts.h"

namespace cifar {

// Writes the history of the images into `facts`, which describe `dataset`. What was there before is
// said by the checkpoint or, if it is of an older version, by the run.json of its run; where
// neither says, nothing is compared. Error(kData) for other images in the middle of an epoch, a
// warning at an epoch's end.
void continue_data_history(const FoundCheckpoint& found, const Dataset& dataset, RunFacts& facts,
                           const Log& log);

}  // namespace cifar

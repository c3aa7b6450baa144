// Batch-norm over one value: a network may have no variance to divide by in the smallest shard of
// an epoch. That is known before the first step.
#pragma once

#include <cstdint>

#include "config/config.h"
#include "model/network.h"

namespace cifar {

// The smallest of all shards of an epoch's batches that hold any image.
struct SmallestShard {
  int64_t images;
  int64_t batch;    // of which it is a part: its images
  bool short_last;  // that is the last batch, shorter than the others
};

SmallestShard smallest_shard(const TrainConfig& train, int64_t samples);

// Error(kUsage) that names the layer and the batch, when the network cannot train on all batches of
// `samples` images. `train` is resolved.
void refuse_lone_values(const Network& network, const TrainConfig& train, int64_t samples);

}  // namespace cifar

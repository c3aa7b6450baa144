#include "train/lone_values.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "parallel/shards.h"

namespace cifar {
namespace {

// Shards may be empty, and those are not computed: the last one that is not is the smallest.
int64_t smallest_part(int64_t batch, int64_t shards) {
  return part_of(batch, shards, std::min(batch, shards) - 1).count;
}

}  // namespace

SmallestShard smallest_shard(const TrainConfig& train, int64_t samples) {
  const int64_t whole = std::min(train.batch_size, samples);
  const int64_t rest = train.drop_last ? 0 : samples % whole;
  const int64_t smallest = smallest_part(whole, train.shards);
  if (rest == 0 || smallest_part(rest, train.shards) >= smallest) return {smallest, whole, false};
  return {smallest_part(rest, train.shards), rest, true};
}

void refuse_lone_values(const Network& network, const TrainConfig& train, int64_t samples) {
  const std::string layer = network.layer_that_needs_two_images();
  if (layer.empty() || samples < 1) return;
  const SmallestShard smallest = smallest_shard(train, samples);
  if (smallest.images > 1) return;
  throw Error(
      ExitCode::kUsage, layer,
      fmt::format("one value a channel in a shard of one image ({}: {} images in {} shards)",
                  smallest.short_last ? "an epoch's last batch" : "each batch", smallest.batch,
                  train.shards),
      fmt::format("two or more: {}, or a layer before it that leaves more than 1x1",
                  smallest.short_last ? "--drop-last, or fewer --shards"
                                      : "a larger --batch-size, or fewer --shards"));
}

}  // namespace cifar

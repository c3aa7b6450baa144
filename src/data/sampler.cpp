#include "data/sampler.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "data/shuffle.h"

namespace cifar {

std::vector<int32_t> epoch_order(const std::vector<int32_t>& samples, uint64_t seed,
                                 int64_t epoch) {
  std::vector<int32_t> order = samples;
  shuffle(order, [seed, epoch](uint32_t i) {
    return draw(seed, Purpose::kShuffle, static_cast<uint32_t>(epoch), i).word[0];
  });
  return order;
}

int64_t steps_per_epoch(int64_t samples, int64_t batch, bool drop_last) {
  if (drop_last && batch > samples) {
    throw Error(ExitCode::kUsage, "train.batch_size", fmt::format("{} with drop_last", batch),
                fmt::format("at most the {} images of the train split", samples));
  }
  if (drop_last) return samples / batch;
  return (samples + batch - 1) / batch;
}

Range step_range(int64_t step_in_epoch, int64_t batch, int64_t samples) {
  const int64_t first = std::min(step_in_epoch * batch, samples);
  return {first, std::min(batch, samples - first)};
}

}  // namespace cifar

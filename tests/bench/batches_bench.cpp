// Assembly of a batch on one CPU thread: gather from the uint8 set and normalise, without and with
// the random crop and flip. Synthetic images: the pixels do not matter to the time.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <memory>
#include <vector>

#include "data/batches.h"
#include "data/synthetic.h"

namespace {

constexpr int64_t kBatch = 128;

std::shared_ptr<const cifar::ResidentSet> training_set() {
  static const auto set =
      std::make_shared<cifar::ResidentSet>(cifar::make_synthetic().train, torch::kCPU);
  return set;
}

// Strides through the set as a shuffled epoch does: no image follows the one before it in memory.
std::vector<int32_t> scattered_order(int64_t size) {
  constexpr int64_t kStride = 7919;  // a prime
  std::vector<int32_t> order(size);
  for (int64_t i = 0; i < size; ++i) order[i] = static_cast<int32_t>(i * kStride % size);
  return order;
}

void assemble(benchmark::State& state, const cifar::AugmentationConfig& config) {
  const auto set = training_set();
  cifar::Batches batches(set, config, /*augment=*/true, /*seed=*/42);
  const int64_t size = set->set().size();
  batches.set_order(scattered_order(size), 0);
  int64_t first = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(batches.get(first, kBatch));
    first = (first + kBatch) % (size - kBatch);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}

void batch_plain(benchmark::State& state) {
  assemble(state, {});
}
BENCHMARK(batch_plain)->Unit(benchmark::kMicrosecond);

void batch_flip_crop(benchmark::State& state) {
  cifar::AugmentationConfig config;
  config.flip = "random";
  config.crop_padding = 4;
  assemble(state, config);
}
BENCHMARK(batch_flip_crop)->Unit(benchmark::kMicrosecond);

// What the fast recipes do to an image, and more.
void batch_reflect_jitter_cutout(benchmark::State& state) {
  cifar::AugmentationConfig config;
  config.flip = "alternating";
  config.crop_padding = 2;
  config.padding_mode = "reflect";
  config.cutout = 12;
  config.brightness = 0.1;
  config.contrast = 0.1;
  assemble(state, config);
}
BENCHMARK(batch_reflect_jitter_cutout)->Unit(benchmark::kMicrosecond);

}  // namespace

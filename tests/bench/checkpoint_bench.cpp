// A checkpoint of the article's network with Adam's state to bytes and back; the disk is not in it.
#include <benchmark/benchmark.h>

#include <string>

#include "bench/article_state.h"
#include "train/checkpoint.h"

namespace {

cifar::Checkpoint article_checkpoint() {
  const cifar::Config config = cifar::article_config();
  const auto state = cifar::article_state();
  return cifar::take_checkpoint(state, cifar::to_toml(config));
}

void checkpoint_serialize(benchmark::State& state) {
  const cifar::Checkpoint checkpoint = article_checkpoint();
  int64_t bytes = 0;
  for (auto _ : state) bytes += static_cast<int64_t>(cifar::serialize(checkpoint).size());
  state.SetBytesProcessed(bytes);
}
BENCHMARK(checkpoint_serialize)->Unit(benchmark::kMicrosecond);

void checkpoint_deserialize(benchmark::State& state) {
  const std::string bytes = cifar::serialize(article_checkpoint());
  for (auto _ : state) benchmark::DoNotOptimize(cifar::deserialize(bytes, "memory"));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK(checkpoint_deserialize)->Unit(benchmark::kMicrosecond);

}  // namespace

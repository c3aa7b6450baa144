// The convolution calls of one training step of the article's network, and nothing else, on one CPU
// thread: forward, and backward as autograd calls it (no gradient of the images). What a step takes
// beyond this is the program's own. The argument is the images of one rank.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <array>
#include <vector>

#include "base/memory.h"

namespace {

struct Convolution {
  torch::Tensor input, weight, bias, gradient;  // `gradient`: of the output
  bool needs_input_gradient;
};

std::vector<Convolution> article_convolutions(int64_t batch, at::MemoryFormat format) {
  struct Size {
    int64_t in, out, pixels;
  };
  std::vector<Convolution> all;
  for (const Size& size : {Size{3, 32, 32}, Size{32, 64, 16}, Size{64, 128, 8}}) {
    all.push_back({torch::randn({batch, size.in, size.pixels, size.pixels}).contiguous(format),
                   torch::randn({size.out, size.in, 3, 3}).contiguous(format),
                   torch::randn({size.out}),
                   torch::randn({batch, size.out, size.pixels, size.pixels}).contiguous(format),
                   !all.empty()});
  }
  return all;
}

void run(const Convolution& c) {
  constexpr std::array<int64_t, 2> kOne = {1, 1}, kZero = {0, 0};
  const std::array<int64_t, 1> bias_size = {c.bias.size(0)};
  benchmark::DoNotOptimize(
      at::convolution(c.input, c.weight, c.bias, kOne, kOne, kOne, false, kZero, 1));
  benchmark::DoNotOptimize(at::convolution_backward(c.gradient, c.input, c.weight, bias_size, kOne,
                                                    kOne, kOne, false, kZero, 1,
                                                    {c.needs_input_gradient, true, true}));
}

void convolve(benchmark::State& state, at::MemoryFormat format) {
  cifar::keep_freed_memory();
  at::set_num_threads(1);
  const torch::NoGradGuard no_grad;
  const auto all = article_convolutions(state.range(0), format);
  for (auto _ : state) {
    for (const Convolution& convolution : all) run(convolution);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// As the program lays its tensors out; tests/bench/compare reads this one.
void convolutions(benchmark::State& state) {
  convolve(state, at::MemoryFormat::ChannelsLast);
}
BENCHMARK(convolutions)->RangeMultiplier(2)->Range(16, 256)->Unit(benchmark::kMillisecond);

void convolutions_contiguous(benchmark::State& state) {
  convolve(state, at::MemoryFormat::Contiguous);
}
BENCHMARK(convolutions_contiguous)
    ->RangeMultiplier(2)
    ->Range(16, 256)
    ->Unit(benchmark::kMillisecond);

}  // namespace

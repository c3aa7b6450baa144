// One Adam step over the article's 113,738 parameters on one CPU thread: the fused pass over the
// flat state, against torch::optim::Adam (a dozen ATen calls for each of the eight tensors).
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/optim/adam.h>
#include <torch/types.h>

#include <vector>

#include "optim/optimizer.h"

namespace {

constexpr double kLearningRate = 0.001;

std::vector<torch::Tensor> article_parameters() {
  return {torch::randn({32, 3, 3, 3}),   torch::randn(32),
          torch::randn({64, 32, 3, 3}),  torch::randn(64),
          torch::randn({128, 64, 3, 3}), torch::randn(128),
          torch::randn({10, 2048}),      torch::randn(10)};
}

int64_t total_size(const std::vector<torch::Tensor>& tensors) {
  int64_t size = 0;
  for (const torch::Tensor& tensor : tensors) size += tensor.numel();
  return size;
}

void adam_fused(benchmark::State& state) {
  at::set_num_threads(1);
  const torch::Tensor parameters = torch::randn(total_size(article_parameters()));
  const torch::Tensor gradients = torch::randn_like(parameters);
  cifar::OptimizerConfig config;
  config.name = "adam";
  const auto optimizer = cifar::make_optimizer(config, {parameters});
  for (auto _ : state) optimizer->step(parameters, gradients, kLearningRate);
  state.SetItemsProcessed(state.iterations() * parameters.numel());
}
BENCHMARK(adam_fused)->Unit(benchmark::kMicrosecond);

void adam_libtorch(benchmark::State& state) {
  at::set_num_threads(1);
  std::vector<torch::Tensor> parameters = article_parameters();
  for (torch::Tensor& parameter : parameters) {
    parameter.set_requires_grad(true);
    parameter.mutable_grad() = torch::randn_like(parameter);
  }
  torch::optim::Adam optimizer(parameters, torch::optim::AdamOptions(kLearningRate));
  for (auto _ : state) optimizer.step();
  state.SetItemsProcessed(state.iterations() * total_size(parameters));
}
BENCHMARK(adam_libtorch)->Unit(benchmark::kMicrosecond);

}  // namespace

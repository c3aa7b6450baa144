// How a network runs its steps.
#include <ATen/record_function.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "model/network.h"

namespace cifar {
namespace {

void zero_gradients(const Layer& layer) {
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : layer.parameters()) {
    if (parameter.grad().defined()) parameter.grad().zero_();
  }
}

// The blocks from the first step on that the kernels can run in a row.
std::vector<std::shared_ptr<Block>> blocks_of(std::span<Network::Step> steps,
                                              const torch::Tensor& images) {
  std::vector<std::shared_ptr<Block>> blocks;
  for (const Network::Step& step : steps) {
    if (!step.block) break;
    const bool can = blocks.empty() ? step.block->can_run(images) : step.block->can_run();
    if (!can) break;
    blocks.push_back(step.block);
  }
  return blocks;
}

}  // namespace

torch::Tensor Network::run(std::span<Step> steps, torch::Tensor images, const Pass& pass) {
  while (!steps.empty()) {
    const auto blocks = blocks_of(steps, images);
    images = blocks.empty() ? steps.front().forward_by_libtorch(images, pass)
                            : run_blocks(blocks, images, pass);
    steps = steps.subspan(std::max<size_t>(1, blocks.size()));
  }
  return images;
}

torch::Tensor Network::Step::forward(const torch::Tensor& images, const Pass& pass) {
  return run(std::span(this, 1), images, pass);
}

torch::Tensor Network::Step::forward_by_libtorch(torch::Tensor images, const Pass& pass) {
  RECORD_USER_SCOPE(text);  // for a profiler
  for (const auto& layer : layers) {
    if (pass.gradients == Gradients::kWrite) zero_gradients(*layer);
    images = layer->forward(images, pass);
  }
  if (layers.empty()) return images + run(branch, images, pass);
  return images;
}

int64_t Network::Step::multiply_adds() const {
  int64_t count = 0;
  for (const auto& layer : layers) count += layer->multiply_adds();
  for (const Step& step : branch) count += step.multiply_adds();
  return count;
}

}  // namespace cifar

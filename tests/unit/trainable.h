// The parameters of a network that have a gradient, and their gradients by way of backward():
// torch::autograd::grad() does not see those of the kernels' blocks (model/block.h).
#pragma once

#include <torch/nn/module.h>

#include <utility>
#include <vector>

namespace cifar {

inline std::vector<torch::Tensor> trainable(const torch::nn::Module& network) {
  std::vector<torch::Tensor> found;
  for (const auto& parameter : network.parameters()) {
    if (parameter.requires_grad()) found.push_back(parameter);
  }
  return found;
}

inline std::vector<torch::Tensor> gradients_of(const torch::Tensor& loss,
                                               const torch::nn::Module& network) {
  const auto parameters = trainable(network);
  for (const auto& parameter : parameters) parameter.mutable_grad().reset();
  loss.backward();
  std::vector<torch::Tensor> found;
  for (const auto& parameter : parameters) {
    found.push_back(std::exchange(parameter.mutable_grad(), {}));
  }
  return found;
}

}  // namespace cifar

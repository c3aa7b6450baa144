// The parameters of a network that have a gradient.
#pragma once

#include <torch/nn/module.h>

#include <vector>

namespace cifar {

inline std::vector<torch::Tensor> trainable(const torch::nn::Module& network) {
  std::vector<torch::Tensor> found;
  for (const auto& parameter : network.parameters()) {
    if (parameter.requires_grad()) found.push_back(parameter);
  }
  return found;
}

}  // namespace cifar

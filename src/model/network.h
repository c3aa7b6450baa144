// The network that a recipe's layer list describes: 3x32x32 images in, ten logits out. Names of its
// tensors are "INDEX.weight" and so on, as in the nn.Sequential of the same list.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "model/layer.h"

namespace cifar {

class Network : public torch::nn::Module {
 public:
  // Draws the initial weights from `seed`, through LibTorch's default generator, in the order of
  // the list: the same bits as torch.manual_seed(seed) and nn.Sequential(...) in Python.
  Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
          uint64_t seed);

  // float [batch, 3, 32, 32] -> logits [batch, classes].
  torch::Tensor forward(torch::Tensor images, const Pass& pass);

  // One row a layer: index, text, output shape, parameters, multiply-adds; then the sums.
  std::string table() const;

 private:
  std::vector<std::string> texts_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<std::shared_ptr<Layer>> order_;  // the layers as they are run
};

}  // namespace cifar

// The network that a recipe's layer list describes: 3x32x32 images in, ten logits out. Names of its
// tensors are "INDEX.weight" and so on, as in the nn.Sequential of the same list.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/conv_block.h"
#include "model/layer.h"

namespace cifar {

// What computes convolutions in float32 on the CPU: the kernels of kernels/ where they are faster
// (kernels_pay), or LibTorch always.
enum class Kernels { kAuto, kLibTorch };

class Network : public torch::nn::Module {
 public:
  // Layers that run one after another: one, or those that the kernels take as a block.
  struct Step {
    std::vector<std::shared_ptr<Layer>> layers;
    std::optional<ConvBlock> conv;      // or
    std::optional<LinearBlock> linear;  // what the kernels run
    torch::Tensor weight, bias;         // of the block's convolution or linear layer
    std::string text;                   // the listed layers

    torch::Tensor packed;    // the block's weight as the kernels read it,
    uint64_t packed_of = 0;  // for passes of this number

    torch::Tensor forward(torch::Tensor images, const Pass& pass);
  };

  // Draws the initial weights from `seed`, through LibTorch's default generator, in the order of
  // the list: the same bits as torch.manual_seed(seed) and nn.Sequential(...) in Python.
  Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
          uint64_t seed, Kernels kernels = Kernels::kAuto);

  // float [batch, 3, 32, 32] -> logits [batch, classes].
  torch::Tensor forward(torch::Tensor images, const Pass& pass);

  // What forward() runs, in order.
  std::vector<Step>& steps() { return steps_; }

  // "conv.weight" for "3.weight" when layer 3 is a convolution.
  std::string kind_of(const std::string& parameter) const;

  // Of all layers; multiply-adds for one sample's forward pass.
  int64_t parameter_count() const;
  int64_t multiply_adds() const;

  // One row a layer: index, text, output shape, parameters, multiply-adds, what computes it on the
  // CPU in float32; then the sums.
  std::string table() const;

 private:
  bool take_conv_block(size_t& next);
  bool take_linear_block(size_t& next);
  void take_layer(size_t& next);
  Step make_step(size_t first, size_t end) const;
  Step& add_block(size_t first, size_t end, size_t with_weight, const std::string& computed);

  std::vector<std::string> texts_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<Step> steps_;
  std::vector<std::string> computed_;  // by what, for each layer
};

}  // namespace cifar

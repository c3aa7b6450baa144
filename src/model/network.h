// The network that a recipe's layer list describes: 3x32x32 images in, ten logits out. Names of its
// tensors are "INDEX.weight" and so on, as in the nn.Sequential of the same list.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "model/block.h"
#include "model/layer.h"

namespace cifar {

// What computes convolutions in float32 on the CPU: the kernels of kernels/ where they are faster
// (kernels_pay), or LibTorch always.
enum class Kernels { kAuto, kLibTorch };

class Network : public torch::nn::Module {
 public:
  // Layers that run one after another: one, those that the kernels take as a block, or a residual
  // block.
  struct Step {
    std::vector<std::shared_ptr<Layer>> layers;
    std::vector<Step> branch;      // of a residual block: its output is added to the input
    std::shared_ptr<Block> block;  // what the kernels run; `layers` are the same to LibTorch
    std::string text;              // the listed layers

    torch::Tensor forward(const torch::Tensor& images, const Pass& pass);
    torch::Tensor forward_by_libtorch(torch::Tensor images, const Pass& pass);
    int64_t multiply_adds() const;
  };

  // Draws the initial weights from `seed`, through LibTorch's default generator, in the order of
  // the list: the same bits as torch.manual_seed(seed) and nn.Sequential(...) in Python. A list
  // that asks for more than `most_weights` in all is refused before they take memory.
  Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
          uint64_t seed, Kernels kernels = Kernels::kAuto, int64_t most_weights = kMostNumbers);

  // float [batch, 3, 32, 32] -> logits [batch, classes]. Gradients are for backward() of the
  // result: those of the kernels' blocks do not pass through autograd (model/block.h).
  torch::Tensor forward(torch::Tensor images, const Pass& pass);

  // What forward() runs, in order.
  std::vector<Step>& steps() { return steps_; }

  // The first layer's, if it whitens.
  std::optional<Whitening> whitening() const { return layers_.front()->whitening(); }

  // The first that cannot train on one image a shard, as 'layer 3 ("batch-norm")'; empty: none.
  std::string layer_that_needs_two_images() const;

  // "conv.weight" for "3.weight" when layer 3 is a convolution.
  std::string kind_of(const std::string& parameter) const;

  // Of all layers: trainable parameters; multiply-adds for one sample's forward pass.
  int64_t parameter_count() const;
  int64_t multiply_adds() const;

  // One row a layer: index, text, output shape, trainable parameters, multiply-adds, what computes
  // it on the CPU in float32; then the sums.
  std::string table() const;

 private:
  static torch::Tensor run(std::span<Step> steps, torch::Tensor images, const Pass& pass);

  void make_layers(const Shape& input, int64_t classes, int64_t most_weights);
  // Each makes the step or steps of the layers from `next` on and moves `next` behind them.
  std::vector<Step> take_steps(size_t& next, Kernels kernels);  // up to the end of the branch
  std::optional<Step> take_conv_block(size_t& next);
  std::optional<Step> take_linear_block(size_t& next);
  Step take_residual(size_t& next, Kernels kernels);
  Step take_layer(size_t& next);
  Step make_step(size_t first, size_t end) const;
  Step make_block(size_t first, size_t end, size_t with_weight,
                  std::variant<ConvBlock, LinearBlock> shape, const std::string& computed);

  std::vector<std::string> texts_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::vector<Step> steps_;
  std::vector<std::string> computed_;  // by what, for each layer
};

}  // namespace cifar

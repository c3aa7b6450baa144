// One layer of a network, made from one line of the recipe's layer list. The grammar:
//
//   conv CHANNELS [kernel K] [stride S] [padding P] [no-bias] [dirac]
//       kernel 3, stride 1, padding (K-1)/2; dirac: as many filters as there are input channels,
//       the first ones, begin as the identity
//   whiten K [images N] [epsilon E]
//       the first layer alone: a KxK convolution with bias, no padding and 2CKK outputs, whose
//       frozen weight is made from N images of the train split (train/whitening.h); 5000, 5e-4
//   pool max|average|sum SIZE [stride S]               stride SIZE, no padding
//   pool max|average|sum all                           over the whole image
//   batch-norm [momentum M] [epsilon E] [no-scale]     over a shard; 0.1, 1e-5; no-scale: a weight
//                                                      frozen at 1
//   relu | gelu | silu                                 gelu is the exact one, with erf
//   scale X                                            times a number or a fraction such as 1/256
//   dropout P                                          drops with probability P
//   flatten                                            before the first linear layer
//   linear FEATURES [no-bias] [unit-std]               unit-std: the weight is divided by its
//                                                      standard deviation at first
//   residual, lines of the branch, add                 what stood before `residual` is added to
//                                                      what the branch makes of it; they nest,
//                                                      100 deep at most
//
// Parameters are named and initialised as torch.nn's modules do, so that a state dict fits the
// nn.Sequential of the same list. Frozen ones are parameters all the same, without requires_grad.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/step_values.h"
#include "kernels/conv_block.h"
#include "kernels/linear.h"

namespace cifar {

// Of one sample: channels x height x width, or `channels` features once flat.
struct Shape {
  int64_t channels = 0;
  int64_t height = 1;
  int64_t width = 1;
  bool flat = false;

  int64_t elements() const { return channels * height * width; }
  std::string text() const;  // "64x16x16" or "2048"
};

// What a training pass does with the gradients that it finds: add to them, as autograd does, or
// write over them whatever they are.
enum class Gradients { kAdd, kWrite };

// What a forward pass needs to know beside its input. Dropout draws from (seed, epoch, layer,
// sample), so that it depends neither on ranks nor on the place of a sample in a batch.
struct Pass {
  bool training = false;
  const StepValues* now = nullptr;  // on the network's device; training only
  torch::Tensor samples;            // int32 [batch]: index of each image; training only
  // Passes of the same number see the same weights, so that what is made of these can be kept; 0
  // promises nothing.
  uint64_t weights = 0;
  Gradients gradients = Gradients::kAdd;  // of the backward pass that follows; training only
};

// What a whitening layer's weight is to be made from.
struct Whitening {
  torch::Tensor weight;  // [2CKK, C, K, K], frozen
  int64_t images;        // so many of the train split
  double epsilon;        // added to the eigenvalues
};

// The lines that enclose the branch of a residual block.
enum class Bracket { kNone, kResidual, kAdd };

class Layer : public torch::nn::Module {
 public:
  explicit Layer(Shape output) : output_(output) {}

  // float [batch, ...input shape] -> [batch, ...output shape].
  virtual torch::Tensor forward(torch::Tensor input, const Pass& pass) = 0;
  virtual bool is_relu() const { return false; }
  // Takes over the ReLU that stands before this layer, if it can: max-pool does, since the two
  // commute, and behind it there is a quarter of the work or less.
  virtual bool absorb_relu() { return false; }
  // Adds this layer to a block of the kernels, if it fits behind what is there; a convolution
  // begins one, and one ReLU and one max-pool fit behind it in either order.
  virtual bool join(std::optional<ConvBlock>&) const { return false; }
  // Likewise for a flatten and the linear layer behind it, or a linear layer alone.
  virtual bool join(std::optional<LinearBlock>&) const { return false; }
  virtual std::optional<Whitening> whitening() const { return std::nullopt; }
  virtual Bracket bracket() const { return Bracket::kNone; }
  // Whether a training pass over one image cannot be: there is one value of each channel, and no
  // variance to divide by.
  virtual bool needs_two_images() const { return false; }

  // Multiply-adds for one sample's forward pass; only conv and linear have any.
  virtual int64_t multiply_adds() const { return 0; }

  const Shape& output() const { return output_; }

 private:
  Shape output_;
};

// What a layer's weight and its output may have: counts of single precision go no further.
constexpr int64_t kMostNumbers = 2147483647;

// `index` is the layer's place in the list, `residuals` the inputs of the residual blocks that are
// open there, the innermost last, `most_weights` what its weight may have. Throws Error(kUsage)
// that names the layer, and the shape that does not fit.
std::shared_ptr<Layer> make_layer(const std::string& text, int64_t index, const Shape& input,
                                  const std::vector<Shape>& residuals = {},
                                  int64_t most_weights = kMostNumbers);

}  // namespace cifar

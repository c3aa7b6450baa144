#include "model/layer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/layer_text.h"
#include "model/pointwise_layers.h"
#include "model/window_layers.h"

namespace cifar {
namespace {

class Linear : public Layer {
 public:
  Linear(Shape input, Shape output, bool bias, bool unit_std) : Layer(output) {
    weight_ = register_parameter("weight", torch::empty({output.channels, input.channels}));
    if (bias) bias_ = register_parameter("bias", torch::empty({output.channels}));
    initialise(weight_, bias_);
    const torch::NoGradGuard no_grad;
    if (unit_std) weight_.div_(weight_.std());
  }

  torch::Tensor forward(torch::Tensor input, const Pass&) override {
    return torch::linear(input, weight_, bias_);
  }

  using Layer::join;
  bool join(std::optional<LinearBlock>& block) const override {
    if (!block) block = {1, weight_.size(1), 0};
    if (block->out > 0) return false;
    block->out = weight_.size(0);
    return true;
  }

  int64_t multiply_adds() const override { return weight_.numel(); }

 private:
  torch::Tensor weight_, bias_;
};

// Normalises over the samples of one shard. Each shard moves the running statistics from where the
// step began; parallel/ averages what the shards say.
class BatchNorm : public Layer {
 public:
  BatchNorm(Shape input, double momentum, double epsilon, bool scale)
      : Layer(input), momentum_(momentum), epsilon_(epsilon) {
    const int64_t channels = input.channels;
    weight_ = register_parameter("weight", torch::ones({channels}), /*requires_grad=*/scale);
    bias_ = register_parameter("bias", torch::zeros({channels}));
    running_mean_ = register_buffer("running_mean", torch::zeros({channels}));
    running_var_ = register_buffer("running_var", torch::ones({channels}));
  }

  torch::Tensor forward(torch::Tensor input, const Pass& pass) override {
    if (pass.training && input.numel() == input.size(1)) {
      throw Error(ExitCode::kUsage, "batch-norm", "one value a channel in a shard",
                  "more samples a shard, or an image larger than 1x1");
    }
    return torch::batch_norm(input, weight_, bias_, running_mean_, running_var_, pass.training,
                             momentum_, epsilon_, /*cudnn_enabled=*/true);
  }

  bool needs_two_images() const override { return output().height * output().width == 1; }

 private:
  double momentum_, epsilon_;
  torch::Tensor weight_, bias_, running_mean_, running_var_;
};

class Flatten : public Layer {
 public:
  explicit Flatten(Shape input) : Layer({input.elements(), 1, 1, true}), input_(input) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return input.flatten(1); }

  using Layer::join;
  bool join(std::optional<LinearBlock>& block) const override {
    if (block) return false;
    block = {input_.height * input_.width, input_.channels, 0};
    return true;
  }

 private:
  Shape input_;
};

// A line that encloses the branch of a residual block; network.cpp makes the sum.
class ResidualBracket : public Layer {
 public:
  ResidualBracket(Shape input, Bracket bracket) : Layer(input), bracket_(bracket) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return input; }

  Bracket bracket() const override { return bracket_; }

 private:
  Bracket bracket_;
};

std::shared_ptr<Layer> make_residual(LayerText& text) {
  constexpr size_t kMostOpen = 100;  // a forward pass takes stack for each
  text.done();
  if (text.residuals().size() >= kMostOpen) {
    text.refuse(fmt::format("inside {} residual blocks", text.residuals().size()),
                fmt::format("at most {} inside one another", kMostOpen));
  }
  return std::make_shared<ResidualBracket>(text.input(), Bracket::kResidual);
}

std::shared_ptr<Layer> make_add(LayerText& text) {
  text.done();
  if (text.residuals().empty()) text.refuse("no residual block is open", "\"residual\" before it");
  const std::string branch = text.input().text(), kept = text.residuals().back().text();
  if (branch != kept) text.refuse(branch + " onto " + kept, "equal shapes");
  return std::make_shared<ResidualBracket>(text.input(), Bracket::kAdd);
}

std::shared_ptr<Layer> make_batch_norm(LayerText& text) {
  const double momentum = text.option("momentum", 0.1);
  const double epsilon = text.option("epsilon", 1e-5);
  const bool scale = !text.flag("no-scale");
  text.done();
  if (momentum <= 0 || momentum > 1) text.refuse(fmt::format("momentum {}", momentum), "(0, 1]");
  if (epsilon <= 0) text.refuse(fmt::format("epsilon {}", epsilon), "a number above 0");
  refuse_giants(text, 4 * static_cast<double>(text.input().channels), text.input());
  return std::make_shared<BatchNorm>(text.input(), momentum, epsilon, scale);
}

std::shared_ptr<Layer> make_linear(LayerText& text) {
  if (!text.input().flat)
    text.refuse("an image of " + text.input().text(), "\"flatten\" before it");
  const int64_t features = text.integer("the number of output features", 1);
  const bool bias = !text.flag("no-bias"), unit_std = text.flag("unit-std");
  text.done();
  if (unit_std && features * text.input().channels < 2) {
    text.refuse("unit-std of one weight", "two weights or more");
  }
  const Shape out{features, 1, 1, true};
  refuse_giants(text, static_cast<double>(features) * static_cast<double>(text.input().channels),
                out);
  return std::make_shared<Linear>(text.input(), out, bias, unit_std);
}

std::shared_ptr<Layer> make_flatten(LayerText& text) {
  text.done();
  return std::make_shared<Flatten>(text.input());
}

struct Maker {
  const char* name;
  std::shared_ptr<Layer> (*make)(LayerText&);
};

constexpr Maker kMakers[] = {
    {"conv", make_conv},
    {"whiten", make_whiten},
    {"relu", make_relu},
    {"gelu", make_gelu},
    {"silu", make_silu},
    {"scale", make_scale},
    {"pool", make_pool},
    {"dropout", make_dropout},
    {"flatten", make_flatten},
    {"linear", make_linear},
    {"batch-norm", make_batch_norm},
    {"residual", make_residual},
    {"add", make_add},
};

}  // namespace

std::string Shape::text() const {
  return flat ? fmt::format("{}", channels) : fmt::format("{}x{}x{}", channels, height, width);
}

std::shared_ptr<Layer> make_layer(const std::string& description, int64_t index, const Shape& input,
                                  const std::vector<Shape>& residuals, int64_t most_weights) {
  LayerText text(description, index, input, residuals, most_weights);
  std::string names;
  for (const Maker& maker : kMakers) {
    if (text.name() == maker.name) return maker.make(text);
    names += (names.empty() ? "" : ", ") + std::string(maker.name);
  }
  text.refuse("an unknown layer", "one of " + names);
}

}  // namespace cifar

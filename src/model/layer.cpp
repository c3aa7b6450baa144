#include "model/layer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "model/dropout_mask.h"
#include "model/layer_text.h"
#include "model/window_layers.h"

namespace cifar {
namespace {

class Linear : public Layer {
 public:
  Linear(Shape input, Shape output, bool bias) : Layer(output) {
    weight_ = register_parameter("weight", torch::empty({output.channels, input.channels}));
    if (bias) bias_ = register_parameter("bias", torch::empty({output.channels}));
    initialise(weight_, bias_);
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

class Relu : public Layer {
 public:
  explicit Relu(Shape input) : Layer(input) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return torch::relu(input); }

  bool is_relu() const override { return true; }

  using Layer::join;
  bool join(std::optional<ConvBlock>& block) const override {
    if (!block || block->relu) return false;
    return block->relu = true;
  }
};

// Normalises over the samples of one shard. Each shard moves the running statistics from where the
// step began; parallel/ averages what the shards say.
class BatchNorm : public Layer {
 public:
  BatchNorm(Shape input, double momentum, double epsilon)
      : Layer(input), momentum_(momentum), epsilon_(epsilon) {
    const int64_t channels = input.channels;
    weight_ = register_parameter("weight", torch::ones({channels}));
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

 private:
  double momentum_, epsilon_;
  torch::Tensor weight_, bias_, running_mean_, running_var_;
};

class Dropout : public Layer {
 public:
  Dropout(Shape input, double probability, int64_t index)
      : Layer(input), probability_(probability), index_(index) {}

  torch::Tensor forward(torch::Tensor input, const Pass& pass) override {
    if (!pass.training || probability_ == 0) return input;
    // The mask takes the memory order of its input, and elements are counted in that order.
    auto mask = torch::empty_like(input, input.options().dtype(torch::kFloat32));
    const DropoutLayer layer{static_cast<uint32_t>(index_), static_cast<float>(probability_)};
    const int64_t batch = input.size(0);
    auto rows = mask.as_strided({batch, batch == 0 ? 0 : mask.numel() / batch},
                                {batch == 0 ? 1 : mask.numel() / batch, 1});
    fill_dropout_mask(layer, pass.now, pass.samples, rows);
    return input * mask;
  }

 private:
  double probability_;
  int64_t index_;
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

std::shared_ptr<Layer> make_batch_norm(LayerText& text) {
  const double momentum = text.option("momentum", 0.1);
  const double epsilon = text.option("epsilon", 1e-5);
  text.done();
  if (momentum <= 0 || momentum > 1) text.refuse(fmt::format("momentum {}", momentum), "(0, 1]");
  if (epsilon <= 0) text.refuse(fmt::format("epsilon {}", epsilon), "a number above 0");
  return std::make_shared<BatchNorm>(text.input(), momentum, epsilon);
}

std::shared_ptr<Layer> make_dropout(LayerText& text) {
  const double probability = text.number("the probability to drop");
  text.done();
  if (probability < 0 || probability >= 1) {
    text.refuse(fmt::format("{}", probability), "a probability in [0, 1)");
  }
  return std::make_shared<Dropout>(text.input(), probability, text.index());
}

std::shared_ptr<Layer> make_linear(LayerText& text) {
  if (!text.input().flat)
    text.refuse("an image of " + text.input().text(), "\"flatten\" before it");
  const int64_t features = text.integer("the number of output features", 1);
  const bool bias = !text.flag("no-bias");
  text.done();
  const Shape out{features, 1, 1, true};
  refuse_giants(text, static_cast<double>(features) * static_cast<double>(text.input().channels),
                out);
  return std::make_shared<Linear>(text.input(), out, bias);
}

std::shared_ptr<Layer> make_relu(LayerText& text) {
  text.done();
  return std::make_shared<Relu>(text.input());
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
    {"relu", make_relu},
    {"pool", make_pool},
    {"dropout", make_dropout},
    {"flatten", make_flatten},
    {"linear", make_linear},
    {"batch-norm", make_batch_norm},
};

}  // namespace

std::string Shape::text() const {
  return flat ? fmt::format("{}", channels) : fmt::format("{}x{}x{}", channels, height, width);
}

std::shared_ptr<Layer> make_layer(const std::string& description, int64_t index,
                                  const Shape& input) {
  LayerText text(description, index, input);
  std::string names;
  for (const Maker& maker : kMakers) {
    if (text.name() == maker.name) return maker.make(text);
    names += (names.empty() ? "" : ", ") + std::string(maker.name);
  }
  text.refuse("an unknown layer", "one of " + names);
}

}  // namespace cifar

#include "model/layer.h"

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <cmath>

#include "base/error.h"
#include "model/dropout_mask.h"
#include "model/layer_text.h"
#include "model/pool_relu.h"

namespace cifar {
namespace {

// The output extent of a window that slides over `input` pixels.
int64_t slide(const LayerText& text, int64_t input, int64_t kernel, int64_t stride,
              int64_t padding) {
  const int64_t room = input + 2 * padding - kernel;
  if (room < 0) {
    text.refuse(fmt::format("a window of {0}x{0} on an input of {1}", kernel, text.input().text()),
                "a window that fits");
  }
  return room / stride + 1;
}

// A tensor of the network, or what it makes of one image, may have so many numbers (8 GiB): beyond
// it communication counts overflow. Counted in double, which cannot.
constexpr double kMostNumbers = 2147483647;

void refuse_giants(const LayerText& text, double weights, const Shape& output) {
  const double values = static_cast<double>(output.channels) * static_cast<double>(output.height) *
                        static_cast<double>(output.width);
  for (const double count : {weights, values}) {
    if (count <= kMostNumbers) continue;
    text.refuse(
        fmt::format("{} of {:.0f} numbers", count == weights ? "weights" : "an output", count),
        fmt::format("at most {:.0f}", kMostNumbers));
  }
}

void require_image(const LayerText& text) {
  if (text.input().flat) text.refuse("a flat input of " + text.input().text(), "an image");
}

// torch.nn's default for convolutions and linear layers: weights Kaiming-uniform with a = sqrt(5),
// biases uniform within 1 / sqrt(fan in).
void initialise(torch::Tensor weight, torch::Tensor bias) {
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!bias.defined()) return;
  const double bound = 1.0 / std::sqrt(static_cast<double>(weight[0].numel()));
  torch::nn::init::uniform_(bias, -bound, bound);
}

struct Window {
  int64_t kernel, stride, padding;
};

class Conv : public Layer {
 public:
  Conv(Shape input, Shape output, Window window, bool bias)
      : Layer(output), input_(input), window_(window) {
    weight_ = register_parameter(
        "weight", torch::empty({output.channels, input.channels, window.kernel, window.kernel}));
    if (bias) bias_ = register_parameter("bias", torch::empty({output.channels}));
    initialise(weight_, bias_);
  }

  torch::Tensor forward(torch::Tensor input, const Pass&) override {
    return torch::conv2d(input, weight_, bias_, window_.stride, window_.padding);
  }

  bool join(std::optional<ConvBlock>& block) const override {
    if (block) return false;
    block = ConvBlock{input_.channels,
                      input_.height,
                      input_.width,
                      output().channels,
                      window_.kernel,
                      window_.stride,
                      window_.padding,
                      1,
                      1,
                      false};
    return true;
  }

  int64_t multiply_adds() const override {
    return output().height * output().width * weight_.numel();
  }

 private:
  Shape input_;
  Window window_;
  torch::Tensor weight_, bias_;
};

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

  int64_t multiply_adds() const override { return weight_.numel(); }

 private:
  torch::Tensor weight_, bias_;
};

class Relu : public Layer {
 public:
  explicit Relu(Shape input) : Layer(input) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return torch::relu(input); }

  bool is_relu() const override { return true; }

  bool join(std::optional<ConvBlock>& block) const override {
    if (!block || block->relu) return false;
    return block->relu = true;
  }
};

class MaxPool : public Layer {
 public:
  MaxPool(Shape output, Window window) : Layer(output), window_(window) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override {
    if (relu_ && can_pool_relu(input, window_.kernel, window_.stride)) {
      return pool_relu(input, window_.kernel);
    }
    const auto pooled = torch::max_pool2d(input, window_.kernel, window_.stride);
    return relu_ ? torch::relu(pooled) : pooled;
  }

  bool absorb_relu() override { return relu_ = true; }

  bool join(std::optional<ConvBlock>& block) const override {
    if (!block || block->pool > 1) return false;
    block->pool = window_.kernel;
    block->pool_stride = window_.stride;
    return true;
  }

 private:
  Window window_;
  bool relu_ = false;
};

// Average or sum over the window: the average times `factor`.
class MeanPool : public Layer {
 public:
  MeanPool(Shape output, Window window, double factor)
      : Layer(output), window_(window), factor_(factor) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override {
    const auto mean = torch::avg_pool2d(input, window_.kernel, window_.stride);
    return factor_ == 1 ? mean : mean * factor_;
  }

 private:
  Window window_;
  double factor_;
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
    const DropoutKey key{pass.seed, static_cast<uint32_t>(pass.epoch * 256 + index_),
                         static_cast<float>(probability_)};
    const int64_t batch = input.size(0);
    auto rows = mask.as_strided({batch, batch == 0 ? 0 : mask.numel() / batch},
                                {batch == 0 ? 1 : mask.numel() / batch, 1});
    fill_dropout_mask(key, pass.samples, rows);
    return input * mask;
  }

 private:
  double probability_;
  int64_t index_;
};

class Flatten : public Layer {
 public:
  explicit Flatten(Shape output) : Layer(output) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return input.flatten(1); }
};

std::shared_ptr<Layer> make_conv(LayerText& text) {
  require_image(text);
  const Shape in = text.input();
  const int64_t channels = text.integer("the number of output channels", 1);
  const int64_t kernel = text.option("kernel", int64_t{3}, 1);
  const int64_t stride = text.option("stride", int64_t{1}, 1);
  const int64_t padding = text.option("padding", (kernel - 1) / 2, 0);
  const bool bias = !text.flag("no-bias");
  text.done();
  const Shape out{channels, slide(text, in.height, kernel, stride, padding),
                  slide(text, in.width, kernel, stride, padding)};
  refuse_giants(text, std::pow(kernel, 2) * static_cast<double>(channels * in.channels), out);
  return std::make_shared<Conv>(in, out, Window{kernel, stride, padding}, bias);
}

std::shared_ptr<Layer> make_pool(LayerText& text) {
  require_image(text);
  const Shape in = text.input();
  const std::string how = text.word("max, average or sum");
  if (how != "max" && how != "average" && how != "sum") {
    text.refuse("\"" + how + "\"", "max, average or sum");
  }
  const bool whole = text.flag("all");
  if (whole && in.height != in.width) text.refuse("an input of " + in.text(), "a square one");
  const int64_t size = whole ? in.height : text.integer("the size of the window, or all", 1);
  const int64_t stride = whole ? size : text.option("stride", size, 1);
  text.done();
  const Shape out{in.channels, slide(text, in.height, size, stride, 0),
                  slide(text, in.width, size, stride, 0)};
  const Window window{size, stride, 0};
  if (how == "max") return std::make_shared<MaxPool>(out, window);
  return std::make_shared<MeanPool>(out, window,
                                    how == "sum" ? static_cast<double>(size * size) : 1.0);
}

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
  return std::make_shared<Flatten>(Shape{text.input().elements(), 1, 1, true});
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

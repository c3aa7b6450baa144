#include "model/window_layers.h"

#include <fmt/format.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>

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

void require_image(const LayerText& text) {
  if (text.input().flat) text.refuse("a flat input of " + text.input().text(), "an image");
}

struct Window {
  int64_t kernel, stride, padding;
};

class Conv : public Layer {
 public:
  struct Options {
    bool bias, dirac;
  };

  Conv(Shape input, Shape output, Window window, Options options)
      : Layer(output), input_(input), window_(window) {
    weight_ = register_parameter(
        "weight", torch::empty({output.channels, input.channels, window.kernel, window.kernel}));
    if (options.bias) bias_ = register_parameter("bias", torch::empty({output.channels}));
    initialise(weight_, bias_);
    if (options.dirac) {
      const int64_t filters = std::min(input.channels, output.channels);
      torch::nn::init::dirac_(weight_.narrow(0, 0, filters));
    }
  }

  torch::Tensor forward(torch::Tensor input, const Pass&) override {
    return torch::conv2d(input, weight_, bias_, window_.stride, window_.padding);
  }

  using Layer::join;
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

 protected:
  const torch::Tensor& weight() const { return weight_; }

 private:
  Shape input_;
  Window window_;
  torch::Tensor weight_, bias_;
};

class Whiten : public Conv {
 public:
  Whiten(Shape input, Shape output, int64_t kernel, int64_t images, double epsilon)
      : Conv(input, output, {kernel, 1, 0}, {.bias = true, .dirac = false}),
        images_(images),
        epsilon_(epsilon) {
    weight().set_requires_grad(false);
  }

  std::optional<Whitening> whitening() const override {
    return Whitening{weight(), images_, epsilon_};
  }

 private:
  int64_t images_;
  double epsilon_;
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

  using Layer::join;
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

}  // namespace

void initialise(torch::Tensor weight, torch::Tensor bias) {
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (!bias.defined()) return;
  const double bound = 1.0 / std::sqrt(static_cast<double>(weight[0].numel()));
  torch::nn::init::uniform_(bias, -bound, bound);
}

void refuse_giants(const LayerText& text, double weights, const Shape& output) {
  // Counted in double, which cannot overflow.
  const double values = static_cast<double>(output.channels) * static_cast<double>(output.height) *
                        static_cast<double>(output.width);
  const auto refuse_more = [&](const char* what, double count, int64_t most) {
    if (count <= static_cast<double>(most)) return;
    text.refuse(fmt::format("{} of {:.0f} numbers", what, count), fmt::format("at most {}", most));
  };
  refuse_more("weights", weights, text.most_weights());
  refuse_more("an output", values, kMostNumbers);
}

std::shared_ptr<Layer> make_conv(LayerText& text) {
  require_image(text);
  const Shape in = text.input();
  const int64_t channels = text.integer("the number of output channels", 1);
  const int64_t kernel = text.option("kernel", int64_t{3}, 1);
  const int64_t stride = text.option("stride", int64_t{1}, 1);
  const int64_t padding = text.option("padding", (kernel - 1) / 2, 0);
  const Conv::Options options{.bias = !text.flag("no-bias"), .dirac = text.flag("dirac")};
  text.done();
  const Shape out{channels, slide(text, in.height, kernel, stride, padding),
                  slide(text, in.width, kernel, stride, padding)};
  refuse_giants(
      text, std::pow(kernel, 2) * static_cast<double>(channels) * static_cast<double>(in.channels),
      out);
  return std::make_shared<Conv>(in, out, Window{kernel, stride, padding}, options);
}

std::shared_ptr<Layer> make_whiten(LayerText& text) {
  require_image(text);
  const Shape in = text.input();
  if (text.index() != 0)
    text.refuse("behind other layers", "to be the first, which sees the images");
  const int64_t kernel = text.integer("the size of the kernel", 1);
  const int64_t images = text.option("images", int64_t{5000}, 1);
  const double epsilon = text.option("epsilon", 5e-4);
  text.done();
  if (epsilon <= 0) text.refuse(fmt::format("epsilon {}", epsilon), "a number above 0");
  const int64_t patch = in.channels * kernel * kernel;
  const Shape out{2 * patch, slide(text, in.height, kernel, 1, 0),
                  slide(text, in.width, kernel, 1, 0)};
  refuse_giants(text, 2 * std::pow(patch, 2), out);
  return std::make_shared<Whiten>(in, out, kernel, images, epsilon);
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

}  // namespace cifar

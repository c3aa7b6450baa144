#include "model/pointwise_layers.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "model/dropout_mask.h"

namespace cifar {
namespace {

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

// Any other function of each value.
class Pointwise : public Layer {
 public:
  using Function = std::function<torch::Tensor(const torch::Tensor&)>;

  Pointwise(Shape input, Function function) : Layer(input), function_(std::move(function)) {}

  torch::Tensor forward(torch::Tensor input, const Pass&) override { return function_(input); }

 private:
  Function function_;
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

}  // namespace

std::shared_ptr<Layer> make_relu(LayerText& text) {
  text.done();
  return std::make_shared<Relu>(text.input());
}

std::shared_ptr<Layer> make_gelu(LayerText& text) {
  text.done();
  return std::make_shared<Pointwise>(text.input(), [](const auto& x) { return torch::gelu(x); });
}

std::shared_ptr<Layer> make_silu(LayerText& text) {
  text.done();
  return std::make_shared<Pointwise>(text.input(), [](const auto& x) { return torch::silu(x); });
}

std::shared_ptr<Layer> make_scale(LayerText& text) {
  const double factor = text.fraction("the factor");
  text.done();
  return std::make_shared<Pointwise>(text.input(), [factor](const auto& x) { return x * factor; });
}

std::shared_ptr<Layer> make_dropout(LayerText& text) {
  const double probability = text.number("the probability to drop");
  text.done();
  if (probability < 0 || probability >= 1) {
    text.refuse(fmt::format("{}", probability), "a probability in [0, 1)");
  }
  return std::make_shared<Dropout>(text.input(), probability, text.index());
}

}  // namespace cifar

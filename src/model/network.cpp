#include "model/network.h"

#include <fmt/format.h>

#include "base/error.h"

namespace cifar {
namespace {

int64_t parameters_of(const Layer& layer) {
  int64_t count = 0;
  for (const auto& parameter : layer.parameters()) count += parameter.numel();
  return count;
}

// The layers as they are run: a ReLU beside a max-pool is part of it.
std::vector<std::shared_ptr<Layer>> run_order(const std::vector<std::shared_ptr<Layer>>& layers) {
  std::vector<std::shared_ptr<Layer>> order;
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool relu = layers[i]->kind() == LayerKind::kRelu;
    if (relu && i + 1 < layers.size() && layers[i + 1]->absorb_relu()) continue;
    order.push_back(layers[i]);
  }
  return order;
}

}  // namespace

Network::Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
                 uint64_t seed)
    : texts_(layers) {
  torch::manual_seed(seed);
  Shape shape = input;
  for (const std::string& text : layers) {
    const int64_t index = static_cast<int64_t>(layers_.size());
    layers_.push_back(register_module(std::to_string(index), make_layer(text, index, shape)));
    shape = layers_.back()->output();
  }
  if (!shape.flat || shape.channels != classes) {
    throw Error(ExitCode::kUsage, "model.layers", "the last output is " + shape.text(),
                fmt::format("{} features, one a class (\"linear {}\")", classes, classes));
  }
  order_ = run_order(layers_);
}

torch::Tensor Network::forward(torch::Tensor images, const Pass& pass) {
  for (const auto& layer : order_) images = layer->forward(images, pass);
  return images;
}

std::string Network::table() const {
  std::string text = fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}\n", "", "layer", "output",
                                 "parameters", "multiply-adds");
  int64_t parameters = 0, multiply_adds = 0;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = *layers_[i];
    text += fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}\n", i, texts_[i], layer.output().text(),
                        fmt::group_digits(parameters_of(layer)),
                        fmt::group_digits(layer.multiply_adds()));
    parameters += parameters_of(layer);
    multiply_adds += layer.multiply_adds();
  }
  return text + fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}\n", "", "sum", "",
                            fmt::group_digits(parameters), fmt::group_digits(multiply_adds));
}

}  // namespace cifar

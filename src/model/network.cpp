#include "model/network.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "model/conv_block.h"
#include "model/linear_block.h"

namespace cifar {
namespace {

int64_t parameters_of(const Layer& layer) {
  int64_t count = 0;
  for (const auto& parameter : layer.parameters()) count += parameter.numel();
  return count;
}

}  // namespace

Network::Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
                 uint64_t seed, Kernels kernels)
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
  for (size_t next = 0; next < layers_.size();) {
    const bool taken =
        kernels == Kernels::kAuto && (take_conv_block(next) || take_linear_block(next));
    if (!taken) take_layer(next);
  }
}

// Makes a step of the longest block from layer `next` on that the kernels run faster than LibTorch,
// and moves `next` behind it; false if there is none.
bool Network::take_conv_block(size_t& next) {
  std::optional<ConvBlock> block, taken;
  const size_t first = next;
  for (size_t end = first; end < layers_.size() && layers_[end]->join(block);) {
    ++end;
    if (!kernels_pay(*block)) continue;
    taken = block;
    next = end;
  }
  if (!taken) return false;
  add_block(first, next, first, uses_winograd(*taken) ? "kernels, Winograd" : "kernels").conv =
      taken;
  return true;
}

bool Network::take_linear_block(size_t& next) {
  std::optional<LinearBlock> block;
  size_t end = next;
  while (end < layers_.size() && layers_[end]->join(block)) ++end;
  if (!block || block->out == 0 || !kernels_pay(*block)) return false;
  add_block(next, end, end - 1, "kernels").linear = block;
  next = end;
  return true;
}

Network::Step& Network::add_block(size_t first, size_t end, size_t with_weight,
                                  const std::string& computed) {
  Step step = make_step(first, end);
  const auto parameters = layers_[with_weight]->named_parameters();
  step.weight = parameters["weight"];
  if (parameters.contains("bias")) step.bias = parameters["bias"];
  computed_.push_back(computed);
  computed_.resize(end, "\"");
  return steps_.emplace_back(step);
}

void Network::take_layer(size_t& next) {
  const size_t first = next++;
  const bool relu = layers_[first]->is_relu();
  if (relu && next < layers_.size() && layers_[next]->absorb_relu()) ++next;
  steps_.push_back(make_step(first, next));
  computed_.resize(next, "LibTorch");
}

// Layers [first, end) as LibTorch runs them: without a ReLU that the max-pool behind it takes over.
Network::Step Network::make_step(size_t first, size_t end) const {
  Step step;
  for (size_t i = first; i < end; ++i) {
    step.text += (i > first ? ", " : "") + texts_[i];
    const bool taken_over = layers_[i]->is_relu() && i + 1 < end && layers_[i + 1]->absorb_relu();
    if (!taken_over) step.layers.push_back(layers_[i]);
  }
  return step;
}

torch::Tensor Network::Step::forward(torch::Tensor images, const Pass& pass) {
  const auto pack = [&](const auto& block) {
    if (pass.weights == 0 || pass.weights != packed_of) packed = pack_weights(block, weight);
    packed_of = pass.weights;
  };
  if (conv && can_run_conv_block(*conv, images, weight)) {
    pack(*conv);
    return conv_block(*conv, images, weight, packed, bias);
  }
  if (linear && can_run_linear_block(*linear, images, weight)) {
    pack(*linear);
    return linear_block(*linear, images, weight, packed, bias);
  }
  for (const auto& layer : layers) images = layer->forward(images, pass);
  return images;
}

torch::Tensor Network::forward(torch::Tensor images, const Pass& pass) {
  for (Step& step : steps_) images = step.forward(images, pass);
  return images;
}

std::string Network::table() const {
  std::string text = fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}  {}\n", "", "layer", "output",
                                 "parameters", "multiply-adds", "on the CPU");
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = *layers_[i];
    text += fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}  {}\n", i, texts_[i],
                        layer.output().text(), fmt::group_digits(parameters_of(layer)),
                        fmt::group_digits(layer.multiply_adds()), computed_[i]);
  }
  return text + fmt::format("{:>3}  {:<28} {:>12} {:>12} {:>14}\n", "", "sum", "",
                            fmt::group_digits(parameter_count()),
                            fmt::group_digits(multiply_adds()));
}

std::string Network::kind_of(const std::string& parameter) const {
  const size_t dot = parameter.find('.');
  const std::string& text = texts_.at(std::stoul(parameter.substr(0, dot)));
  return text.substr(0, text.find(' ')) + parameter.substr(dot);
}

int64_t Network::parameter_count() const {
  int64_t count = 0;
  for (const auto& layer : layers_) count += parameters_of(*layer);
  return count;
}

int64_t Network::multiply_adds() const {
  int64_t count = 0;
  for (const auto& layer : layers_) count += layer->multiply_adds();
  return count;
}

}  // namespace cifar

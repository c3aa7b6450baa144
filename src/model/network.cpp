#include "model/network.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "model/conv_block.h"
#include "model/linear_block.h"

namespace cifar {
namespace {

int64_t trainable_parameters_of(const Layer& layer) {
  int64_t count = 0;
  for (const auto& parameter : layer.parameters()) {
    if (parameter.requires_grad()) count += parameter.numel();
  }
  return count;
}

}  // namespace

Network::Network(const std::vector<std::string>& layers, const Shape& input, int64_t classes,
                 uint64_t seed, Kernels kernels, int64_t most_weights)
    : texts_(layers) {
  torch::manual_seed(seed);
  make_layers(input, classes, most_weights);
  size_t next = 0;
  steps_ = take_steps(next, kernels);
}

void Network::make_layers(const Shape& input, int64_t classes, int64_t most_weights) {
  constexpr size_t kMostLayers = 30'000;  // far more than any network has; each takes memory
  if (texts_.size() > kMostLayers) {
    throw Error(ExitCode::kUsage, "model.layers", fmt::format("{} layers", texts_.size()),
                fmt::format("at most {}", kMostLayers));
  }
  Shape shape = input;
  std::vector<Shape> residuals;  // of the blocks that are open
  std::vector<size_t> opened;    // where
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto layer =
        make_layer(texts_[i], static_cast<int64_t>(i), shape, residuals, most_weights);
    for (const auto& parameter : layer->parameters()) most_weights -= parameter.numel();
    layers_.push_back(register_module(std::to_string(i), layer));
    shape = layer->output();
    if (layer->bracket() == Bracket::kResidual) {
      residuals.push_back(shape);
      opened.push_back(i);
    } else if (layer->bracket() == Bracket::kAdd) {
      residuals.pop_back();
      opened.pop_back();
    }
  }
  if (!opened.empty()) {
    const size_t last = opened.back();
    throw Error(ExitCode::kUsage, fmt::format("layer {} (\"{}\")", last, texts_[last]),
                "its branch does not end", "\"add\" behind it");
  }
  if (!shape.flat || shape.channels != classes) {
    throw Error(ExitCode::kUsage, "model.layers", "the last output is " + shape.text(),
                fmt::format("{} features, one a class (\"linear {}\")", classes, classes));
  }
}

std::vector<Network::Step> Network::take_steps(size_t& next, Kernels kernels) {
  std::vector<Step> steps;
  while (next < layers_.size() && layers_[next]->bracket() != Bracket::kAdd) {
    std::optional<Step> step;
    if (kernels == Kernels::kAuto) step = take_conv_block(next);
    if (kernels == Kernels::kAuto && !step) step = take_linear_block(next);
    if (step) {
      steps.push_back(*std::move(step));
    } else if (layers_[next]->bracket() == Bracket::kResidual) {
      steps.push_back(take_residual(next, kernels));
    } else {
      steps.push_back(take_layer(next));
    }
  }
  return steps;
}

// The longest block that the kernels run faster than LibTorch, if there is one.
std::optional<Network::Step> Network::take_conv_block(size_t& next) {
  std::optional<ConvBlock> block, taken;
  const size_t first = next;
  for (size_t end = first; end < layers_.size() && layers_[end]->join(block);) {
    ++end;
    if (!kernels_pay(*block)) continue;
    taken = block;
    next = end;
  }
  if (!taken) return std::nullopt;
  return make_block(first, next, first, *taken,
                    uses_winograd(*taken) ? "kernels, Winograd" : "kernels");
}

std::optional<Network::Step> Network::take_linear_block(size_t& next) {
  std::optional<LinearBlock> block;
  size_t end = next;
  while (end < layers_.size() && layers_[end]->join(block)) ++end;
  if (!block || block->out == 0 || !kernels_pay(*block)) return std::nullopt;
  const size_t first = std::exchange(next, end);
  return make_block(first, end, end - 1, *block, "kernels");
}

Network::Step Network::make_block(size_t first, size_t end, size_t with_weight,
                                  std::variant<ConvBlock, LinearBlock> shape,
                                  const std::string& computed) {
  Step step = make_step(first, end);
  const auto parameters = layers_[with_weight]->named_parameters();
  step.block = std::make_shared<Block>();
  step.block->shape = shape;
  step.block->weight = parameters["weight"];
  if (parameters.contains("bias")) step.block->bias = parameters["bias"];
  step.block->text = step.text;
  computed_.push_back(computed);
  computed_.resize(end, "\"");
  return step;
}

Network::Step Network::take_residual(size_t& next, Kernels kernels) {
  Step step;
  const size_t first = next++;
  computed_.push_back("LibTorch");
  step.branch = take_steps(next, kernels);
  computed_.push_back("LibTorch");
  ++next;  // the add
  step.text = fmt::format("{}", fmt::join(texts_.begin() + first, texts_.begin() + next, ", "));
  return step;
}

Network::Step Network::take_layer(size_t& next) {
  const size_t first = next++;
  const bool relu = layers_[first]->is_relu();
  if (relu && next < layers_.size() && layers_[next]->absorb_relu()) ++next;
  computed_.resize(next, "LibTorch");
  return make_step(first, next);
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

torch::Tensor Network::forward(torch::Tensor images, const Pass& pass) {
  return run(steps_, std::move(images), pass);
}

std::string Network::table() const {
  size_t depth = 0, width = 28;  // in residual blocks; of the longest line, or this
  std::vector<std::string> lines;
  for (size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i]->bracket() == Bracket::kAdd) --depth;
    lines.push_back(std::string(2 * depth, ' ') + printable(texts_[i]));
    if (layers_[i]->bracket() == Bracket::kResidual) ++depth;
    width = std::max(width, lines.back().size());
  }
  const auto row = [width](const auto& index, const std::string& layer, const std::string& output,
                           const auto& parameters, const auto& multiply_adds) {
    return fmt::format("{:>3}  {:<{}} {:>12} {:>12} {:>14}", index, layer, width, output,
                       parameters, multiply_adds);
  };
  std::string text = row("", "layer", "output", "parameters", "multiply-adds") + "  on the CPU\n";
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = *layers_[i];
    text +=
        row(i, lines[i], layer.output().text(), fmt::group_digits(trainable_parameters_of(layer)),
            fmt::group_digits(layer.multiply_adds())) +
        "  " + computed_[i] + "\n";
  }
  return text +
         row("", "sum", "", fmt::group_digits(parameter_count()),
             fmt::group_digits(multiply_adds())) +
         "\n";
}

std::string Network::layer_that_needs_two_images() const {
  const auto found = std::ranges::find_if(layers_, &Layer::needs_two_images);
  if (found == layers_.end()) return "";
  const auto index = static_cast<size_t>(found - layers_.begin());
  return fmt::format("layer {} (\"{}\")", index, texts_[index]);
}

std::string Network::kind_of(const std::string& parameter) const {
  const size_t dot = parameter.find('.');
  const std::string& text = texts_.at(std::stoul(parameter.substr(0, dot)));
  return text.substr(0, text.find(' ')) + parameter.substr(dot);
}

int64_t Network::parameter_count() const {
  int64_t count = 0;
  for (const auto& layer : layers_) count += trainable_parameters_of(*layer);
  return count;
}

int64_t Network::multiply_adds() const {
  int64_t count = 0;
  for (const auto& layer : layers_) count += layer->multiply_adds();
  return count;
}

}  // namespace cifar

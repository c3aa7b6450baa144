#include "model/conv_block.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>
#include <functional>
#include <optional>

namespace cifar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kOrder = at::MemoryFormat::ChannelsLast;
constexpr int64_t kChunk = 16;  // images whose gradients are added up by one thread

int64_t chunks_of(int64_t images) {
  return (images + kChunk - 1) / kChunk;
}

// visit(chunk, its first image, number of images), in parallel.
template <class Visit>
void for_each_chunk(int64_t images, const Visit& visit) {
  at::parallel_for(0, chunks_of(images), 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * kChunk;
      visit(chunk, first, std::min(kChunk, images - first));
    }
  });
}

template <typename T>
const T* data_or_null(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<T>() : nullptr;
}

struct Forward {
  torch::Tensor output;
  torch::Tensor winners;  // uint8, of the output's shape; undefined unless asked for
};

Forward run_forward(const ConvBlock& block, const torch::Tensor& input, const torch::Tensor& packed,
                    const torch::Tensor& bias, bool with_winners) {
  const int64_t images = input.size(0);
  Forward result;
  result.output = torch::empty({images, block.out_channels, block.out_height(), block.out_width()},
                               input.options().memory_format(kOrder));
  if (with_winners) {
    result.winners =
        torch::empty(result.output.sizes(), result.output.options().dtype(torch::kUInt8), kOrder);
  }
  const float* in = input.const_data_ptr<float>();
  const float* weights = packed.const_data_ptr<float>();
  const float* biases = data_or_null<float>(bias);
  float* out = result.output.mutable_data_ptr<float>();
  uint8_t* winners = with_winners ? result.winners.mutable_data_ptr<uint8_t>() : nullptr;
  for_each_chunk(images, [&](int64_t, int64_t first, int64_t count) {
    const int64_t place = first * block.output_size();
    conv_block_forward(block, count, in + first * block.input_size(), weights, biases, out + place,
                       with_winners ? winners + place : nullptr);
  });
  return result;
}

struct Gradients {
  torch::Tensor input, weight, bias;  // the first and the last undefined unless asked for
};

Gradients run_backward(const ConvBlock& block, const torch::Tensor& input,
                       const torch::Tensor& packed, const torch::Tensor& winners,
                       const torch::Tensor& gradient, bool with_input, bool with_bias) {
  const int64_t images = input.size(0), chunks = chunks_of(images);
  const int64_t weights = block.weight_size(), length = weights + block.out_channels;
  Gradients result;
  result.weight = torch::empty({block.out_channels, block.in_channels, block.kernel, block.kernel},
                               input.options().memory_format(kOrder));
  if (with_bias) result.bias = torch::empty({block.out_channels}, input.options());
  if (with_input) result.input = torch::empty(input.sizes(), input.options(), kOrder);
  // The first chunk's go where the total is to be; a row for each further one: weights, biases.
  torch::Tensor more;
  if (chunks > 1) more = torch::empty({chunks - 1, length}, input.options());
  const float* in = input.const_data_ptr<float>();
  const float* w = packed.const_data_ptr<float>();
  const float* out = gradient.const_data_ptr<float>();
  const uint8_t* won = winners.const_data_ptr<uint8_t>();
  float* const to_weight = result.weight.mutable_data_ptr<float>();
  float* const to_bias = with_bias ? result.bias.mutable_data_ptr<float>() : nullptr;
  float* const to_input = with_input ? result.input.mutable_data_ptr<float>() : nullptr;
  float* const rows = chunks > 1 ? more.mutable_data_ptr<float>() : nullptr;
  if (chunks == 0) {
    result.weight.zero_();
    if (with_bias) result.bias.zero_();
  }
  for_each_chunk(images, [&](int64_t chunk, int64_t first, int64_t count) {
    float* const row = chunk > 0 ? rows + (chunk - 1) * length : nullptr;
    const int64_t place = first * block.output_size(), in_place = first * block.input_size();
    conv_block_backward(block, count, in + in_place, w, won + place, out + place,
                        row ? row : to_weight, !with_bias || !row ? to_bias : row + weights,
                        with_input ? to_input + in_place : nullptr);
  });
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    const float* const row = rows + (chunk - 1) * length;
    std::transform(row, row + weights, to_weight, to_weight, std::plus());
    if (with_bias) std::transform(row + weights, row + length, to_bias, to_bias, std::plus());
  }
  return result;
}

class ConvBlockFunction : public torch::autograd::Function<ConvBlockFunction> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor&, const torch::Tensor& packed,
                               const std::optional<torch::Tensor>& bias, const ConvBlock& block) {
    const Forward result = run_forward(block, input, packed, bias.value_or(torch::Tensor()), true);
    context->save_for_backward({input, packed, result.winners});
    context->saved_data["block"] =
        std::vector<int64_t>{block.kernel,      block.stride, block.padding,   block.pool,
                             block.pool_stride, block.relu,   bias.has_value()};
    return result.output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const torch::Tensor &input = saved[0], &packed = saved[1], &winners = saved[2];
    const auto of = context->saved_data["block"].toIntVector();
    const ConvBlock block{input.size(1), input.size(2), input.size(3), winners.size(1), of[0],
                          of[1],         of[2],         of[3],         of[4],           of[5] != 0};
    // Counts tensors: without a bias there is no fourth.
    const bool with_bias = of[6] != 0 && context->needs_input_grad(3);
    const Gradients result =
        run_backward(block, input, packed, winners, gradients[0].contiguous(kOrder),
                     context->needs_input_grad(0), with_bias);
    return {result.input, result.weight, torch::Tensor(), result.bias, torch::Tensor()};
  }
};

}  // namespace

bool kernels_pay(const ConvBlock& block) {
  if (!has_vectors() || !can_compute(block)) return false;
  if (block.pool > 1) return block.pool_stride > 1;
  return block.relu && block.kernel >= 3 && block.in_channels >= 16;
}

bool can_run_conv_block(const ConvBlock& block, const torch::Tensor& input,
                        const torch::Tensor& weight) {
  const bool fits = input.dim() == 4 && input.size(1) == block.in_channels &&
                    input.size(2) == block.height && input.size(3) == block.width;
  return fits && input.is_cpu() && weight.is_cpu() && input.scalar_type() == torch::kFloat32 &&
         weight.scalar_type() == torch::kFloat32;
}

torch::Tensor pack_weights(const ConvBlock& block, const torch::Tensor& weight) {
  const auto packed = torch::empty({packed_weights_size(block)}, weight.options());
  pack_weights(block, weight.contiguous(kOrder).const_data_ptr<float>(),
               packed.mutable_data_ptr<float>());
  return packed;
}

torch::Tensor conv_block(const ConvBlock& block, const torch::Tensor& input,
                         const torch::Tensor& weight, const torch::Tensor& packed,
                         const torch::Tensor& bias) {
  const auto in = input.contiguous(kOrder);
  const bool needs_gradient =
      torch::autograd::GradMode::is_enabled() &&
      (in.requires_grad() || weight.requires_grad() || (bias.defined() && bias.requires_grad()));
  if (!needs_gradient) return run_forward(block, in, packed, bias, false).output;
  const auto given_bias = bias.defined() ? std::make_optional(bias) : std::nullopt;
  return ConvBlockFunction::apply(in, weight, packed, given_bias, block);
}

}  // namespace cifar

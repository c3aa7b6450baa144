#include "model/linear_block.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <optional>

#include "kernels/conv_block.h"

namespace cifar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kImagesAThread = 32;  // images that are worth a thread

const float* data_or_null(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}

// [batch][pixels][channels], as the kernels read it.
torch::Tensor in_order(const torch::Tensor& input) {
  return input.dim() == 4 ? input.contiguous(at::MemoryFormat::ChannelsLast) : input.contiguous();
}

torch::Tensor run_forward(const LinearBlock& block, const torch::Tensor& input,
                          const torch::Tensor& packed, const torch::Tensor& bias) {
  const auto output = torch::empty({input.size(0), block.out}, packed.options());
  const float *in = input.const_data_ptr<float>(), *weights = packed.const_data_ptr<float>();
  const float* biases = data_or_null(bias);
  float* out = output.mutable_data_ptr<float>();
  at::parallel_for(0, input.size(0), kImagesAThread, [&](int64_t begin, int64_t end) {
    linear_forward(block, end - begin, in + begin * block.features(), weights, biases,
                   out + begin * block.out);
  });
  return output;
}

torch::Tensor run_input_gradient(const LinearBlock& block, const torch::Tensor& input,
                                 const torch::Tensor& packed, const torch::Tensor& gradient) {
  const auto result = torch::empty_like(input);
  const float *weights = packed.const_data_ptr<float>(), *out = gradient.const_data_ptr<float>();
  float* in = result.mutable_data_ptr<float>();
  at::parallel_for(0, input.size(0), kImagesAThread, [&](int64_t begin, int64_t end) {
    linear_input_gradient(block, end - begin, weights, out + begin * block.out,
                          in + begin * block.features());
  });
  return result;
}

class LinearBlockFunction : public torch::autograd::Function<LinearBlockFunction> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor&, const torch::Tensor& packed,
                               const std::optional<torch::Tensor>& bias, const LinearBlock& block) {
    context->save_for_backward({input, packed});
    context->saved_data["block"] =
        std::vector<int64_t>{block.pixels, block.channels, block.out, bias.has_value()};
    return run_forward(block, input, packed, bias.value_or(torch::Tensor()));
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto of = context->saved_data["block"].toIntVector();
    const LinearBlock block{of[0], of[1], of[2]};
    const torch::Tensor &input = saved[0], gradient = gradients[0].contiguous();
    torch::Tensor input_gradient, bias_gradient;
    if (context->needs_input_grad(0)) {
      input_gradient = run_input_gradient(block, input, saved[1], gradient);
    }
    const auto weight_gradient = torch::empty({block.out, block.features()}, input.options());
    if (of[3] != 0) {
      bias_gradient = torch::empty({block.out}, input.options());
    }
    linear_weight_gradient(
        block, input.size(0), input.const_data_ptr<float>(), gradient.const_data_ptr<float>(),
        weight_gradient.mutable_data_ptr<float>(),
        bias_gradient.defined() ? bias_gradient.mutable_data_ptr<float>() : nullptr);
    return {input_gradient, weight_gradient, torch::Tensor(), bias_gradient, torch::Tensor()};
  }
};

}  // namespace

bool kernels_pay(const LinearBlock& block) {
  return has_vectors() && block.out <= 32;
}

bool can_run_linear_block(const LinearBlock& block, const torch::Tensor& input,
                          const torch::Tensor& weight) {
  const bool fits = (input.dim() == 4 || input.dim() == 2) && input.size(0) > 0 &&
                    input.size(1) == block.channels &&
                    input.numel() == input.size(0) * block.features();
  return fits && input.is_cpu() && weight.is_cpu() && input.scalar_type() == torch::kFloat32 &&
         weight.scalar_type() == torch::kFloat32;
}

torch::Tensor pack_weights(const LinearBlock& block, const torch::Tensor& weight) {
  const auto packed = torch::empty({packed_weights_size(block)}, weight.options());
  pack_weights(block, weight.contiguous().const_data_ptr<float>(),
               packed.mutable_data_ptr<float>());
  return packed;
}

torch::Tensor linear_block(const LinearBlock& block, const torch::Tensor& input,
                           const torch::Tensor& weight, const torch::Tensor& packed,
                           const torch::Tensor& bias) {
  const auto in = in_order(input);
  const bool needs_gradient =
      torch::autograd::GradMode::is_enabled() && (in.requires_grad() || weight.requires_grad());
  if (!needs_gradient) return run_forward(block, in, packed, bias);
  const auto given_bias = bias.defined() ? std::make_optional(bias) : std::nullopt;
  return LinearBlockFunction::apply(in, weight, packed, given_bias, block);
}

}  // namespace cifar

#include "model/linear_block.h"

#include <ATen/Parallel.h>

#include "kernels/conv_block.h"

namespace cifar {
namespace {

constexpr int64_t kMostOutputs = 256;

// Images, and outputs of the weight gradient, that are worth a thread.
constexpr int64_t kPart = 32;

// visit(first, number) of `count` images or outputs, in parallel.
template <class Visit>
void for_each_part(int64_t count, const Visit& visit) {
  at::parallel_for(0, count, kPart, [&](int64_t begin, int64_t end) { visit(begin, end - begin); });
}

}  // namespace

bool kernels_pay(const LinearBlock& block) {
  return has_vectors() && block.out <= kMostOutputs;
}

bool fits(const LinearBlock& block, const torch::Tensor& input) {
  return (input.dim() == 4 || input.dim() == 2) && input.size(1) == block.channels &&
         input.numel() == input.size(0) * block.features();
}

torch::Tensor run_forward(const LinearBlock& block, BlockPass& pass, const torch::Tensor& bias,
                          bool) {
  const int64_t images = pass.input.size(0);
  const auto output = torch::empty({images, block.out}, pass.packed.options());
  const float *in = pass.input.const_data_ptr<float>(),
              *weights = pass.packed.const_data_ptr<float>();
  const float* biases = data_or_null(bias);
  float* out = output.mutable_data_ptr<float>();
  for_each_part(images, [&](int64_t first, int64_t count) {
    linear_forward(block, count, in + first * block.features(), weights, biases,
                   out + first * block.out);
  });
  return output;
}

void run_backward(const LinearBlock& block, const BlockPass& pass,
                  const BlockGradients& gradients) {
  const int64_t images = pass.input.size(0);
  const float *weights = pass.packed.const_data_ptr<float>(),
              *in = pass.input.const_data_ptr<float>(),
              *out = gradients.output.const_data_ptr<float>();
  if (float* const to_input = memory_or_null(gradients.input)) {
    for_each_part(images, [&](int64_t first, int64_t count) {
      linear_input_gradient(block, count, weights, out + first * block.out,
                            to_input + first * block.features());
    });
  }
  float* const to_weight = gradients.weight.mutable_data_ptr<float>();
  float* const to_bias = memory_or_null(gradients.bias);
  for_each_part(block.out, [&](int64_t first, int64_t count) {
    linear_weight_gradient(block, images, first, count, in, out, to_weight, to_bias);
  });
}

}  // namespace cifar

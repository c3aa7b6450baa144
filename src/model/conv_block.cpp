#include "model/conv_block.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <functional>

namespace cifar {
namespace {

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

}  // namespace

bool kernels_pay(const ConvBlock& block) {
  if (!has_vectors() || !can_compute(block)) return false;
  if (block.pool > 1) return block.pool_stride > 1;
  return block.relu && block.kernel >= 3 && block.in_channels >= 16;
}

bool fits(const ConvBlock& block, const torch::Tensor& input) {
  return input.dim() == 4 && input.size(1) == block.in_channels && input.size(2) == block.height &&
         input.size(3) == block.width;
}

torch::Tensor run_forward(const ConvBlock& block, BlockPass& pass, const torch::Tensor& bias,
                          bool winners) {
  const int64_t images = pass.input.size(0);
  const auto output =
      torch::empty({images, block.out_channels, block.out_height(), block.out_width()},
                   pass.input.options().memory_format(kOrder));
  if (winners) {
    pass.winners = torch::empty(output.sizes(), output.options().dtype(torch::kUInt8), kOrder);
  }
  const float* in = pass.input.const_data_ptr<float>();
  const float* weights = pass.packed.const_data_ptr<float>();
  const float* biases = data_or_null(bias);
  float* out = output.mutable_data_ptr<float>();
  uint8_t* won = winners ? pass.winners.mutable_data_ptr<uint8_t>() : nullptr;
  for_each_chunk(images, [&](int64_t, int64_t first, int64_t count) {
    const int64_t place = first * block.output_size();
    conv_block_forward(block, count, in + first * block.input_size(), weights, biases, out + place,
                       winners ? won + place : nullptr);
  });
  return output;
}

void run_backward(const ConvBlock& block, const BlockPass& pass, const BlockGradients& gradients) {
  const int64_t images = pass.input.size(0), chunks = chunks_of(images);
  const int64_t weights = block.weight_size(), length = weights + block.out_channels;
  const float* in = pass.input.const_data_ptr<float>();
  const float* packed = pass.packed.const_data_ptr<float>();
  const uint8_t* won = pass.winners.const_data_ptr<uint8_t>();
  const float* out = gradients.output.const_data_ptr<float>();
  float* const to_weight = gradients.weight.mutable_data_ptr<float>();
  float* const to_bias = memory_or_null(gradients.bias);
  float* const to_input = memory_or_null(gradients.input);
  if (chunks == 0) {
    std::fill_n(to_weight, weights, 0.0F);
    if (to_bias) std::fill_n(to_bias, block.out_channels, 0.0F);
  }
  // The first chunk's go where the total is to be; a row for each further one: weights, biases.
  torch::Tensor more;
  if (chunks > 1) more = torch::empty({chunks - 1, length}, pass.input.options());
  float* const rows = memory_or_null(more);
  for_each_chunk(images, [&](int64_t chunk, int64_t first, int64_t count) {
    float* const row = chunk > 0 ? rows + (chunk - 1) * length : nullptr;
    const int64_t place = first * block.output_size(), in_place = first * block.input_size();
    conv_block_backward(block, count, in + in_place, packed, won + place, out + place,
                        row ? row : to_weight, !to_bias || !row ? to_bias : row + weights,
                        to_input ? to_input + in_place : nullptr);
  });
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    const float* const row = rows + (chunk - 1) * length;
    std::transform(row, row + weights, to_weight, to_weight, std::plus());
    if (to_bias) std::transform(row + weights, row + length, to_bias, to_bias, std::plus());
  }
}

}  // namespace cifar

#include <algorithm>
#include <vector>

#include "kernels/conv_block.h"

#define HWY_TARGET_INCLUDE "kernels/forward.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/direct-inl.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

template <class Method>
void forward_images(const ConvBlock& block, int64_t images, const float* input, const float* packed,
                    const float* bias, float* output, uint8_t* winners) {
  Method method(block);
  Outputs outputs(block, bias);
  for (int64_t i = 0; i < images; ++i) {
    const int64_t place = i * block.output_size();
    outputs.begin(output + place, winners == nullptr ? nullptr : winners + place);
    method.run(input + i * block.input_size(), packed, outputs);
    outputs.end();
  }
}

void forward(const ConvBlock& block, int64_t images, const float* input, const float* packed,
             const float* bias, float* output, uint8_t* winners) {
  const auto run = uses_winograd(block) ? forward_images<Winograd> : forward_images<Direct>;
  run(block, images, input, packed, bias, output, winners);
}

// One filter [ky][kx][in] of 3x3 to 16 frequencies: G w G^T.
void transform_filter(const float* filter, int64_t in_channels, int64_t channel, float (&out)[16]) {
  float half[4][3];  // G w
  for (int64_t x = 0; x < 3; ++x) {
    const auto w = [&](int64_t y) { return filter[(y * 3 + x) * in_channels + channel]; };
    half[0][x] = w(0);
    half[1][x] = 0.5f * (w(0) + w(1) + w(2));
    half[2][x] = 0.5f * (w(0) - w(1) + w(2));
    half[3][x] = w(2);
  }
  for (int64_t y = 0; y < 4; ++y) {
    const float* row = half[y];
    out[4 * y] = row[0];
    out[4 * y + 1] = 0.5f * (row[0] + row[1] + row[2]);
    out[4 * y + 2] = 0.5f * (row[0] - row[1] + row[2]);
    out[4 * y + 3] = row[2];
  }
}

// [channel block][ky][kx][in][block_channels()], or [channel block][frequency][in][...].
void pack(const ConvBlock& block, const float* weights, float* packed) {
  const int64_t wide = block_channels(), filter_size = block.kernel * block.patch_row();
  const bool winograd = uses_winograd(block);
  const int64_t depth = winograd ? kFrequencies * block.in_channels : filter_size;
  std::fill_n(packed, packed_weights_size(block), 0.0f);
  for (int64_t out = 0; out < block.out_channels; ++out) {
    const float* filter = weights + out * filter_size;
    float* to = packed + out / wide * wide * depth + out % wide;
    if (!winograd) {
      for (int64_t i = 0; i < filter_size; ++i) to[i * wide] = filter[i];
      continue;
    }
    for (int64_t in = 0; in < block.in_channels; ++in) {
      float transformed[kFrequencies];
      transform_filter(filter, block.in_channels, in, transformed);
      for (int64_t f = 0; f < kFrequencies; ++f) {
        to[(f * block.in_channels + in) * wide] = transformed[f];
      }
    }
  }
}

const char* target_name() {
  return hwy::TargetName(HWY_TARGET);
}

bool is_vector_target() {
  return HWY_TARGET != HWY_SCALAR;
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(forward);
HWY_EXPORT(pack);
HWY_EXPORT(target_name);
HWY_EXPORT(is_vector_target);

bool can_compute(const ConvBlock& block) {
  const bool kernel = block.kernel == 1 || block.kernel == 3 || block.kernel == 5;
  const int64_t smaller = std::min(block.height, block.width) + 2 * block.padding;
  return kernel && smaller >= block.kernel && block.pool * block.pool <= kMaxPoolTaps &&
         std::min(block.conv_height(), block.conv_width()) >= block.pool;
}

bool uses_winograd(const ConvBlock& block) {
  return block.kernel == 3 && block.stride == 1 && block.in_channels >= 8;
}

int64_t packed_weights_size(const ConvBlock& block) {
  constexpr int64_t kWidest = 32;  // block_channels() with the widest vectors
  const int64_t taps = uses_winograd(block) ? 16 : block.kernel * block.kernel;
  return (block.out_channels + kWidest - 1) / kWidest * kWidest * taps * block.in_channels;
}

void pack_weights(const ConvBlock& block, const float* weights, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack)(block, weights, packed);
}

void conv_block_forward(const ConvBlock& block, int64_t images, const float* input,
                        const float* packed, const float* bias, float* output, uint8_t* winners) {
  HWY_DYNAMIC_DISPATCH(forward)(block, images, input, packed, bias, output, winners);
}

bool has_vectors() {
  return HWY_DYNAMIC_DISPATCH(is_vector_target)();
}

const char* instruction_set() {
  return HWY_DYNAMIC_DISPATCH(target_name)();
}

}  // namespace cifar
#endif

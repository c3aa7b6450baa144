#include "kernels/linear.h"

#include <algorithm>
#include <utility>

#define HWY_TARGET_INCLUDE "kernels/linear.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/padded_image.h"
#include "kernels/transpose-inl.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// Sums that are held in registers at once: of so many images, or outputs.
constexpr int64_t kSums = 8;
using Sums = std::make_index_sequence<kSums>;
using Rows = const float* [kSums];

// Row i of `count` rows of `length` floats; behind the last, the last once more.
HWY_INLINE void find_rows(Rows& rows, const float* from, int64_t count, int64_t length) {
  for (int64_t i = 0; i < kSums; ++i) rows[i] = from + std::min(i, count - 1) * length;
}

// Only constants index the sums: g++ then keeps them in registers.
template <size_t... kSum>
HWY_INLINE void set(V (&sums)[kSums], V value, std::index_sequence<kSum...>) {
  ((sums[kSum] = value), ...);
}

template <size_t... kSum>
HWY_INLINE void add(V (&sums)[kSums], const V (&more)[kSums], std::index_sequence<kSum...>) {
  ((sums[kSum] = hn::Add(sums[kSum], more[kSum])), ...);
}

// sums[i] += rows[i][place] * values.
template <size_t... kSum>
HWY_INLINE void add_products(V (&sums)[kSums], const Rows& rows, int64_t place, V values,
                             std::index_sequence<kSum...>) {
  ((sums[kSum] = hn::MulAdd(hn::Set(D(), rows[kSum][place]), values, sums[kSum])), ...);
}

// The first `rows` sums, `floats` of each, to rows `stride` floats apart.
template <size_t... kSum>
HWY_INLINE void store(const V (&sums)[kSums], int64_t rows, int64_t floats, float* to,
                      int64_t stride, std::index_sequence<kSum...>) {
  const auto store_row = [&](V values, int64_t row)
                             HWY_ATTR { store_floats(values, to + row * stride, floats); };
  ((static_cast<int64_t>(kSum) < rows ? store_row(sums[kSum], kSum) : void()), ...);
}

HWY_INLINE int64_t lanes() {
  return static_cast<int64_t>(hn::Lanes(D()));
}

int64_t packed_size(const LinearBlock& block) {
  return (round_up(block.out, lanes()) + block.out) * block.features();
}

// For forward [out / lanes][features][lanes], then for backward [out][features]; features in the
// order of an image.
void pack(const LinearBlock& block, const float* weights, float* packed) {
  const int64_t features = block.features();
  float* const by_output = packed + round_up(block.out, lanes()) * features;
  for (int64_t out = 0; out < block.out; ++out) {
    transpose_floats(weights + out * features, block.channels, block.pixels,
                     by_output + out * features, block.channels);
  }
  for (int64_t first = 0; first < block.out; first += lanes(), packed += features * lanes()) {
    const int64_t count = std::min(lanes(), block.out - first);
    transpose_floats(by_output + first * features, count, features, packed, lanes());
  }
}

// Segment by segment, since long sums in float32 lose digits.
void forward(const LinearBlock& block, int64_t images, const float* input, const float* packed,
             const float* bias, float* output) {
  constexpr int64_t kSegment = 256;
  const int64_t features = block.features();
  for (int64_t image = 0; image < images; image += kSums) {
    Rows rows;
    find_rows(rows, input + image * features, images - image, features);
    for (int64_t out = 0; out < block.out; out += lanes()) {
      const float* const weights = packed + out * features;
      const int64_t count = block.out - out;
      const V start = bias == nullptr ? hn::Zero(D()) : load_floats(bias + out, count);
      V totals[kSums], sums[kSums];
      set(totals, start, Sums());
      for (int64_t first = 0; first < features; first += kSegment) {
        set(sums, hn::Zero(D()), Sums());
        for (int64_t i = first; i < std::min(features, first + kSegment); ++i) {
          add_products(sums, rows, i, hn::LoadU(D(), weights + i * lanes()), Sums());
        }
        add(totals, sums, Sums());
      }
      store(totals, images - image, count, output + image * block.out + out, block.out, Sums());
    }
  }
}

void input_gradient(const LinearBlock& block, int64_t images, const float* packed,
                    const float* output_gradients, float* input_gradients) {
  const int64_t features = block.features();
  const float* const by_output = packed + round_up(block.out, lanes()) * features;
  for (int64_t image = 0; image < images; image += kSums) {
    Rows rows;
    find_rows(rows, output_gradients + image * block.out, images - image, block.out);
    for (int64_t first = 0; first < features; first += lanes()) {
      const int64_t count = features - first;
      V sums[kSums];
      set(sums, hn::Zero(D()), Sums());
      for (int64_t out = 0; out < block.out; ++out) {
        add_products(sums, rows, out, load_floats(by_output + out * features + first, count),
                     Sums());
      }
      store(sums, images - image, count, input_gradients + image * features + first, features,
            Sums());
    }
  }
}

// `by_image` [out][features] takes the weight gradient in the order of an image.
void sum_weight_gradient(const LinearBlock& block, int64_t images, const float* input,
                         const float* gradients_by_output, float* by_image) {
  const int64_t features = block.features();
  for (int64_t out = 0; out < block.out; out += kSums) {
    Rows rows;
    find_rows(rows, gradients_by_output + out * images, block.out - out, images);
    for (int64_t first = 0; first < features; first += lanes()) {
      const int64_t count = features - first;
      V sums[kSums];
      set(sums, hn::Zero(D()), Sums());
      for (int64_t image = 0; image < images; ++image) {
        add_products(sums, rows, image, load_floats(input + image * features + first, count),
                     Sums());
      }
      store(sums, block.out - out, count, by_image + out * features + first, features, Sums());
    }
  }
}

void weight_gradient(const LinearBlock& block, int64_t images, const float* input,
                     const float* output_gradients, float* weight_gradients,
                     float* bias_gradients) {
  const int64_t features = block.features();
  const Floats by_output = make_scratch(block.out * images);
  transpose_floats(output_gradients, images, block.out, by_output.get(), images);
  const Floats by_image = make_scratch(block.out * features);
  sum_weight_gradient(block, images, input, by_output.get(), by_image.get());
  for (int64_t out = 0; out < block.out; ++out) {
    transpose_floats(by_image.get() + out * features, block.pixels, block.channels,
                     weight_gradients + out * features, block.pixels);
  }
  if (bias_gradients == nullptr) return;
  std::fill_n(bias_gradients, block.out, 0.0f);
  for (int64_t image = 0; image < images; ++image) {
    for (int64_t out = 0; out < block.out; ++out) {
      bias_gradients[out] += output_gradients[image * block.out + out];
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(packed_size);
HWY_EXPORT(pack);
HWY_EXPORT(forward);
HWY_EXPORT(input_gradient);
HWY_EXPORT(weight_gradient);

int64_t packed_weights_size(const LinearBlock& block) {
  return HWY_DYNAMIC_DISPATCH(packed_size)(block);
}

void pack_weights(const LinearBlock& block, const float* weights, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack)(block, weights, packed);
}

void linear_forward(const LinearBlock& block, int64_t images, const float* input,
                    const float* packed, const float* bias, float* output) {
  HWY_DYNAMIC_DISPATCH(forward)(block, images, input, packed, bias, output);
}

void linear_input_gradient(const LinearBlock& block, int64_t images, const float* packed,
                           const float* output_gradients, float* input_gradients) {
  HWY_DYNAMIC_DISPATCH(input_gradient)(block, images, packed, output_gradients, input_gradients);
}

void linear_weight_gradient(const LinearBlock& block, int64_t images, const float* input,
                            const float* output_gradients, float* weight_gradients,
                            float* bias_gradients) {
  HWY_DYNAMIC_DISPATCH(weight_gradient)
  (block, images, input, output_gradients, weight_gradients, bias_gradients);
}

}  // namespace cifar
#endif

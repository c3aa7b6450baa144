#include "kernels/linear.h"

#include <algorithm>
#include <numeric>
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

// The weights of one output between their own order and an image's: [rows][columns] to
// [columns][rows].
HWY_INLINE void transpose_weights(const float* from, int64_t rows, int64_t columns, float* to) {
  if (rows == 1 || columns == 1) {
    std::copy_n(from, rows * columns, to);
  } else {
    transpose_floats(from, rows, columns, to, rows);
  }
}

int64_t packed_size(const LinearBlock& block) {
  const int64_t features = block.features();
  return round_up(block.out, lanes()) * features + block.out * round_up(features, lanes());
}

// For forward [out / lanes][features][lanes], then for backward [features / lanes][out][lanes];
// features in the order of an image.
void pack(const LinearBlock& block, const float* weights, float* packed) {
  const int64_t features = block.features();
  float* const backward = packed + round_up(block.out, lanes()) * features;
  const int64_t row = staggered_row(features);
  const Floats by_output = make_scratch(lanes() * row);
  for (int64_t first = 0; first < block.out; first += lanes(), packed += features * lanes()) {
    const int64_t count = std::min(lanes(), block.out - first);
    for (int64_t i = 0; i < count; ++i) {
      transpose_weights(weights + (first + i) * features, block.channels, block.pixels,
                        by_output.get() + i * row);
    }
    transpose_floats(by_output.get(), row, count, features, packed, lanes());
    for (int64_t place = 0; place < features; place += lanes()) {
      float* const to = backward + place * block.out + first * lanes();
      for (int64_t i = 0; i < count; ++i) {
        const float* const from = by_output.get() + i * row + place;
        hn::StoreU(load_floats(from, features - place), D(), to + i * lanes());
      }
    }
  }
}

// Segment by segment, since long sums in float32 lose digits.
void forward(const LinearBlock& block, int64_t images, const float* input, const float* packed,
             const float* bias, float* output) {
  constexpr int64_t kSegment = 256;
  const int64_t features = block.features();
  for (int64_t out = 0; out < block.out; out += lanes()) {
    const float* const weights = packed + out * features;
    const int64_t count = block.out - out;
    const V start = bias == nullptr ? hn::Zero(D()) : load_floats(bias + out, count);
    for (int64_t image = 0; image < images; image += kSums) {
      Rows rows;
      find_rows(rows, input + image * features, images - image, features);
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

// A few vectors of features at a time: their weights stay in the second-level cache for all images,
// and an image gets whole cache lines in a row.
void input_gradient(const LinearBlock& block, int64_t images, const float* packed,
                    const float* output_gradients, float* input_gradients) {
  const int64_t features = block.features(), part = 4 * lanes();
  packed += round_up(block.out, lanes()) * features;
  for (int64_t begin = 0; begin < features; begin += part) {
    for (int64_t image = 0; image < images; image += kSums) {
      Rows rows;
      find_rows(rows, output_gradients + image * block.out, images - image, block.out);
      for (int64_t first = begin; first < std::min(features, begin + part); first += lanes()) {
        const float* const weights = packed + first * block.out;
        V sums[kSums];
        set(sums, hn::Zero(D()), Sums());
        for (int64_t out = 0; out < block.out; ++out) {
          add_products(sums, rows, out, hn::LoadU(D(), weights + out * lanes()), Sums());
        }
        store(sums, images - image, features - first, input_gradients + image * features + first,
              features, Sums());
      }
    }
  }
}

// The weight gradient of `outputs` outputs, at most kSums, in the order of an image: to
// [outputs][features].
HWY_INLINE void sum_products(const LinearBlock& block, int64_t images, const float* input,
                             int64_t outputs, const float* gradients_by_output, float* to) {
  const int64_t features = block.features();
  Rows rows;
  find_rows(rows, gradients_by_output, outputs, images);
  for (int64_t first = 0; first < features; first += lanes()) {
    const int64_t count = features - first;
    V sums[kSums];
    set(sums, hn::Zero(D()), Sums());
    for (int64_t image = 0; image < images; ++image) {
      add_products(sums, rows, image, load_floats(input + image * features + first, count), Sums());
    }
    store(sums, outputs, count, to + first, features, Sums());
  }
}

void weight_gradient(const LinearBlock& block, int64_t images, int64_t first, int64_t count,
                     const float* input, const float* output_gradients, float* weight_gradients,
                     float* bias_gradients) {
  const int64_t features = block.features();
  const Floats by_output = make_scratch(count * images);
  if (images > 0) {  // else there may be no memory to point into
    transpose_floats(output_gradients + first, block.out, images, count, by_output.get(), images);
  }
  const Floats by_image = make_scratch(kSums * features);
  for (int64_t i = 0; i < count; ++i) {
    if (i % kSums == 0) {
      sum_products(block, images, input, std::min(kSums, count - i), by_output.get() + i * images,
                   by_image.get());
    }
    transpose_weights(by_image.get() + i % kSums * features, block.pixels, block.channels,
                      weight_gradients + (first + i) * features);
  }
  if (bias_gradients == nullptr) return;
  for (int64_t i = 0; i < count; ++i) {
    const float* const gradients = by_output.get() + i * images;
    bias_gradients[first + i] = std::accumulate(gradients, gradients + images, 0.0f);
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

void linear_weight_gradient(const LinearBlock& block, int64_t images, int64_t first, int64_t count,
                            const float* input, const float* output_gradients,
                            float* weight_gradients, float* bias_gradients) {
  HWY_DYNAMIC_DISPATCH(weight_gradient)
  (block, images, first, count, input, output_gradients, weight_gradients, bias_gradients);
}

}  // namespace cifar
#endif

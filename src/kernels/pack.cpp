#include <algorithm>

#include "kernels/conv_block.h"

#define HWY_TARGET_INCLUDE "kernels/pack.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/packed_weights.h"
#include "kernels/planes-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// G w down, of a column of a filter.
HWY_INLINE Four transform_column(V w0, V w1, V w2) {
  const V half = hn::Set(D(), 0.5f), sides = hn::Add(w0, w2);
  return {w0, hn::Mul(half, hn::Add(sides, w1)), hn::Mul(half, hn::Sub(sides, w1)), w2};
}

// G w across.
HWY_INLINE Six transform_row(V w0, V w1, V w2) {
  const D d;
  const V small = hn::Set(d, -2.0f / 3), large = hn::Set(d, 1.0f / 6);
  const V small_even = hn::MulAdd(hn::Set(d, 0.5f), w2, w0);
  const V small_odd = hn::Mul(hn::Set(d, kSmallPoint), w1);
  const V large_even = hn::MulAdd(hn::Set(d, 2.0f), w2, w0);
  const V large_odd = hn::Mul(hn::Set(d, kLargePoint), w1);
  return {w0,
          hn::Mul(small, hn::Add(small_even, small_odd)),
          hn::Mul(small, hn::Sub(small_even, small_odd)),
          hn::Mul(large, hn::Add(large_even, large_odd)),
          hn::Mul(large, hn::Sub(large_even, large_odd)),
          w2};
}

// A vector of filters of one input channel, with so many floats from one tap and from one product
// to the next.
HWY_INLINE void transform_filters(const float* from, int64_t tap_step, float* to,
                                  int64_t product_step) {
  const auto column = [&](int64_t x) HWY_ATTR {
    const auto tap = [&](int64_t y)
                         HWY_ATTR { return hn::LoadU(D(), from + (3 * y + x) * tap_step); };
    return transform_column(tap(0), tap(1), tap(2));
  };
  const Four left = column(0), middle = column(1), right = column(2);
  const auto row = [&](V w0, V w1, V w2) HWY_ATTR {
    const Six out = transform_row(w0, w1, w2);
    for (const V value : {out.v0, out.v1, out.v2, out.v3, out.v4, out.v5}) {
      hn::StoreU(value, D(), to);
      to += product_step;
    }
  };
  row(left.v0, middle.v0, right.v0);
  row(left.v1, middle.v1, right.v1);
  row(left.v2, middle.v2, right.v2);
  row(left.v3, middle.v3, right.v3);
}

// [channel block][ky][kx][in][block_channels()], or for Winograd's method
// [channel block][product][winograd_rows()][block_channels()].
void pack_forward(const ConvBlock& block, const float* weights, float* packed) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  const int64_t wide = block_channels(), in = block.in_channels;
  const int64_t taps = block.kernel * block.kernel;
  const int64_t row = staggered_row(round_up(block.out_channels, wide));
  const Floats by_tap = make_scratch(taps * in * row);  // [ky][kx][in][out]
  transpose_floats(weights, block.out_channels, taps * in, by_tap.get(), row);
  for (int64_t out = 0; out < block.out_channels; out += wide) {
    const float* from = by_tap.get() + out;
    if (uses_winograd(block)) {
      for (int64_t i = 0; i < in * wide; i += lanes) {
        transform_filters(from + i / wide * row + i % wide, in * row, packed + i,
                          winograd_rows(block) * wide);
      }
      packed += kWinogradProducts * winograd_rows(block) * wide;
      continue;
    }
    for (int64_t i = 0; i < taps * in; ++i, packed += wide) {
      std::copy_n(from + i * row, wide, packed);
    }
  }
}

int64_t backward_weights_size(const ConvBlock& block) {
  const Layout layout(block);
  return layout.planes * layout.filter_plane;
}

void pack(const ConvBlock& block, const float* weights, float* packed) {
  pack_forward(block, weights, packed);
  load_filters(block, Layout(block), weights, packed + forward_weights_size(block));
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(backward_weights_size);
HWY_EXPORT(pack);

int64_t packed_weights_size(const ConvBlock& block) {
  return forward_weights_size(block) + HWY_DYNAMIC_DISPATCH(backward_weights_size)(block);
}

void pack_weights(const ConvBlock& block, const float* weights, float* packed) {
  HWY_DYNAMIC_DISPATCH(pack)(block, weights, packed);
}

}  // namespace cifar
#endif

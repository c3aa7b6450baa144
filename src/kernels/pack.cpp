#include <algorithm>

#include "kernels/conv_block.h"

#define HWY_TARGET_INCLUDE "kernels/pack.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/packed_weights.h"
#include "kernels/planes-inl.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// G w: one dimension of the filter's transform.
HWY_INLINE Four transform_filter(V w0, V w1, V w2) {
  const V half = hn::Set(D(), 0.5f), sides = hn::Add(w0, w2);
  return {w0, hn::Mul(half, hn::Add(sides, w1)), hn::Mul(half, hn::Sub(sides, w1)), w2};
}

// The filters of one input channel, tap by tap: taps[tap * lanes] to packed[frequency * depth].
HWY_INLINE void transform_filters(const float* taps, float* packed, int64_t depth) {
  const D d;
  const auto tap = [&](int64_t i) HWY_ATTR {
    return hn::Load(d, taps + i * static_cast<int64_t>(hn::Lanes(d)));
  };
  const auto row = [&](V w0, V w1, V w2, int64_t y) HWY_ATTR {
    const Four out = transform_filter(w0, w1, w2);
    float* place = packed + 4 * y * depth;
    hn::StoreU(out.v0, d, place);
    hn::StoreU(out.v1, d, place + depth);
    hn::StoreU(out.v2, d, place + 2 * depth);
    hn::StoreU(out.v3, d, place + 3 * depth);
  };
  const Four left = transform_filter(tap(0), tap(3), tap(6));
  const Four middle = transform_filter(tap(1), tap(4), tap(7));
  const Four right = transform_filter(tap(2), tap(5), tap(8));
  row(left.v0, middle.v0, right.v0, 0);
  row(left.v1, middle.v1, right.v1, 1);
  row(left.v2, middle.v2, right.v2, 2);
  row(left.v3, middle.v3, right.v3, 3);
}

// [channel block][ky][kx][in][block_channels()], or [channel block][frequency][in][...].
void pack_forward(const ConvBlock& block, const float* weights, float* packed) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  const int64_t wide = block_channels(), taps = block.kernel * block.kernel;
  const bool winograd = uses_winograd(block);
  const int64_t depth = (winograd ? kFrequencies : taps) * block.in_channels;
  std::fill_n(packed, forward_weights_size(block), 0.0f);
  HWY_ALIGN float filters[25 * 16] = {};  // [tap][lanes]
  for (int64_t first = 0; first < block.out_channels; first += lanes) {
    float* to = packed + first / wide * wide * depth + first % wide;
    const int64_t count = std::min(lanes, block.out_channels - first);
    std::fill_n(filters, 25 * 16, 0.0f);
    for (int64_t in = 0; in < block.in_channels; ++in, to += wide) {
      for (int64_t out = 0; out < count; ++out) {
        const float* filter = weights + (first + out) * taps * block.in_channels + in;
        for (int64_t tap = 0; tap < taps; ++tap) {
          filters[tap * lanes + out] = filter[tap * block.in_channels];
        }
      }
      if (winograd) {
        transform_filters(filters, to, block.in_channels * wide);
        continue;
      }
      for (int64_t tap = 0; tap < taps; ++tap) {
        hn::StoreU(hn::Load(D(), filters + tap * lanes), D(), to + tap * block.in_channels * wide);
      }
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

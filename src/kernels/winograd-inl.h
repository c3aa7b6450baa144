// Winograd's method (Lavin and Gray, arXiv:1509.09308), F(2, 3) down and F(4, 3) across: 2x4
// outputs from a patch of 4x6 inputs by 24 products an input channel instead of 72. Patches and
// weights are transformed, multiplied as 24 matrix products, and the sums transformed back.
// F(4, 3) interpolates at 0, +-sqrt(1/2), +-sqrt(2) and infinity: numbers of like size, which halve
// the error of the usual 0, +-1, +-2. Included once an instruction set.
#if defined(CIFAR_KERNELS_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_WINOGRAD_INL_H_
#undef CIFAR_KERNELS_WINOGRAD_INL_H_
#else
#define CIFAR_KERNELS_WINOGRAD_INL_H_
#endif

#include <algorithm>

#include "kernels/outputs-inl.h"
#include "kernels/packed_weights.h"
#include "kernels/padded_image.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

constexpr float kSmallPoint = 0.70710678118654752440f, kLargePoint = 1.41421356237309504880f;

struct Four {
  V v0, v1, v2, v3;
};

struct Six {
  V v0, v1, v2, v3, v4, v5;
};

// B^T d, across.
HWY_INLINE Six transform_patch(V d0, V d1, V d2, V d3, V d4, V d5) {
  const D d;
  const V half = hn::Set(d, 0.5f), two = hn::Set(d, 2.0f), both = hn::Set(d, 2.5f);
  const V small = hn::Set(d, kSmallPoint), large = hn::Set(d, kLargePoint);
  const V small_even = hn::NegMulAdd(two, d2, d4), small_odd = hn::NegMulAdd(two, d1, d3);
  const V large_even = hn::NegMulAdd(half, d2, d4), large_odd = hn::NegMulAdd(half, d1, d3);
  return {hn::NegMulAdd(both, d2, hn::Add(d0, d4)),    hn::MulAdd(small, small_odd, small_even),
          hn::NegMulAdd(small, small_odd, small_even), hn::MulAdd(large, large_odd, large_even),
          hn::NegMulAdd(large, large_odd, large_even), hn::NegMulAdd(both, d3, hn::Add(d1, d5))};
}

// A^T m, across.
HWY_INLINE Four transform_products(V m0, V m1, V m2, V m3, V m4, V m5) {
  const D d;
  const V small_even = hn::Add(m1, m2), small_odd = hn::Sub(m1, m2);
  const V large_even = hn::Add(m3, m4), large_odd = hn::Sub(m3, m4);
  const V cubes = hn::MulAdd(hn::Set(d, 8.0f), large_odd, small_odd);
  return {hn::Add(hn::Add(m0, small_even), large_even),
          hn::Mul(hn::Set(d, kSmallPoint), hn::MulAdd(hn::Set(d, 2.0f), large_odd, small_odd)),
          hn::MulAdd(hn::Set(d, 2.0f), large_even, hn::Mul(hn::Set(d, 0.5f), small_even)),
          hn::MulAdd(hn::Set(d, 0.5f * kSmallPoint), cubes, m5)};
}

class Winograd {
 public:
  Winograd(const ConvBlock& block, Outputs& outputs)
      : block_(block),
        outputs_(outputs),
        rows_(outputs.square_rows()),
        columns_((outputs.square_columns() + 1) / 2),
        image_(block, 2, 4),
        depth_(round_up(block.in_channels, kCacheLine)),
        patches_(make_scratch(kWinogradProducts * patch_stride())),
        products_(make_scratch(kWinogradProducts * product_stride())) {}

  void run(int64_t images, const float* input, const float* packed) {
    // Of several images at once the weights are read once.
    const int64_t at_once =
        outputs_.pools_squares() ? std::max<int64_t>(1, kGroup / (rows_ * columns_)) : 1;
    for (int64_t first = 0; first < images; first += at_once) {
      const int64_t end = std::min(first + at_once, images);
      for (Patch patch{first, 0, 0}; patch.image < end;) {
        patch = run_group(patch, end, input, packed);
      }
      outputs_.end();
    }
  }

 private:
  static constexpr int64_t kGroup = 16;  // patches that are multiplied by the weights at a time
  static_assert(kGroup % kTile == 0);

  // What 2x4 outputs of an image come from: rows 2 y and on, columns 4 x and on.
  struct Patch {
    int64_t image, y, x;
  };

  void advance(Patch& patch) const {
    if (++patch.x < columns_) return;
    patch.x = 0;
    if (++patch.y < rows_) return;
    patch.y = 0;
    ++patch.image;
  }

  // kGroup patches from `first` on, or what is left of the images before `end`. Returns the next.
  Patch run_group(const Patch& first, int64_t end, const float* input, const float* packed) {
    Patch next = first;
    int64_t count = 0;
    for (; count < kGroup && next.image < end; ++count, advance(next)) {
      if (next.y == 0 && next.x == 0) image_.load(input + next.image * block_.input_size());
      transform(next, patches_.get() + count * depth_);
    }
    for (int64_t channel = 0; channel < block_.out_channels; channel += block_channels()) {
      multiply(packed, count);
      packed += kWinogradProducts * winograd_rows(block_) * block_channels();
      Patch patch = first;
      for (int64_t i = 0; i < count; ++i, advance(patch)) {
        outputs_.begin(patch.image);
        const float* products = products_.get() + i * block_channels();
        put(products, channel, patch);
        put(products + block_channels() / 2, channel + block_channels() / 2, patch);
      }
    }
    return next;
  }

  // `to`: the patch's place in [product][kGroup][depth_].
  HWY_INLINE void transform(const Patch& patch, float* to) const {
    // Copies, since the compiler cannot know that vector stores leave the originals alone.
    const int64_t pixel = block_.in_channels, row = image_.row(), stride = patch_stride();
    const float* corner = image_.data() + 2 * patch.y * row + 4 * patch.x * pixel;
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    for (int64_t c = 0; c < pixel; c += lanes, corner += lanes, to += lanes) {
      const auto load = [&](int64_t y, int64_t x)
                            HWY_ATTR { return hn::LoadU(D(), corner + y * row + x * pixel); };
      const auto line = [&](int64_t y, const auto& down) HWY_ATTR {
        const Six out = transform_patch(down(0), down(1), down(2), down(3), down(4), down(5));
        float* const at = to + 6 * y * stride;
        hn::Store(out.v0, D(), at);
        hn::Store(out.v1, D(), at + stride);
        hn::Store(out.v2, D(), at + 2 * stride);
        hn::Store(out.v3, D(), at + 3 * stride);
        hn::Store(out.v4, D(), at + 4 * stride);
        hn::Store(out.v5, D(), at + 5 * stride);
      };
      line(0, [&](int64_t x) HWY_ATTR { return hn::Sub(load(0, x), load(2, x)); });
      line(1, [&](int64_t x) HWY_ATTR { return hn::Add(load(1, x), load(2, x)); });
      line(2, [&](int64_t x) HWY_ATTR { return hn::Sub(load(2, x), load(1, x)); });
      line(3, [&](int64_t x) HWY_ATTR { return hn::Sub(load(1, x), load(3, x)); });
    }
  }

  // Segment by segment, since long sums in float32 lose digits.
  HWY_INLINE void multiply(const float* weights, int64_t count) {
    constexpr int64_t kSegment = 16;
    for (int64_t product = 0; product < kWinogradProducts; ++product) {
      for (int64_t first = 0; first < count; first += kTile) {
        const float* places[kTile];
        for (int64_t i = 0; i < kTile; ++i) {
          places[i] = patches_.get() + product * patch_stride() + (first + i) * depth_;
        }
        float* const to = products_.get() + product * product_stride() + first * block_channels();
        for (int64_t channel = 0; channel < block_.in_channels; channel += kSegment) {
          const int64_t length = std::min(kSegment, block_.in_channels - channel);
          Tile tile;
          clear(tile, Places());
          accumulate(tile, places, length, weights + channel * block_channels());
          for (const float*& place : places) place += length;
          if (channel > 0) add(tile, to, block_channels(), Places());
          store(tile, to, block_channels(), Places());
        }
      }
      weights += winograd_rows(block_) * block_channels();
    }
  }

  // Transforms the products of one patch back.
  HWY_INLINE void put(const float* products, int64_t channel, const Patch& patch) const {
    const auto column = [&](int64_t x, V& top, V& bottom) HWY_ATTR {
      const auto load = [&](int64_t y) HWY_ATTR {
        return hn::Load(D(), products + (6 * y + x) * product_stride());
      };
      const V m0 = load(0), m1 = load(1), m2 = load(2), m3 = load(3);
      top = hn::Add(hn::Add(m0, m1), m2);
      bottom = hn::Sub(hn::Sub(m1, m2), m3);
    };
    V t0, t1, t2, t3, t4, t5, b0, b1, b2, b3, b4, b5;
    column(0, t0, b0);
    column(1, t1, b1);
    column(2, t2, b2);
    column(3, t3, b3);
    column(4, t4, b4);
    column(5, t5, b5);
    const Four top = transform_products(t0, t1, t2, t3, t4, t5);
    const Four bottom = transform_products(b0, b1, b2, b3, b4, b5);
    const V left[4] = {top.v0, top.v1, bottom.v0, bottom.v1};
    outputs_.put_vector(left, channel, patch.y, 2 * patch.x);
    if (2 * patch.x + 1 == outputs_.square_columns()) return;
    const V right[4] = {top.v2, top.v3, bottom.v2, bottom.v3};
    outputs_.put_vector(right, channel, patch.y, 2 * patch.x + 1);
  }

  // From one product to the next; an odd number of cache lines, so that they do not all lie in the
  // same few sets of the cache.
  int64_t patch_stride() const { return kGroup * depth_ + kCacheLine; }
  static int64_t product_stride() { return kGroup * block_channels() + kCacheLine; }

  const ConvBlock& block_;
  Outputs& outputs_;
  int64_t rows_, columns_;  // of patches in an image
  PaddedImage image_;
  int64_t depth_;
  Floats patches_, products_;
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

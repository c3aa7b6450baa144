// Winograd's F(2x2, 3x3) (Lavin and Gray, arXiv:1509.09308): a square of 2x2 outputs from a patch
// of 4x4 inputs by 16 products an input channel instead of 36. Patches and weights are transformed,
// multiplied as 16 matrix products, one a frequency, and transformed back. Included once an
// instruction set.
#if defined(CIFAR_KERNELS_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_WINOGRAD_INL_H_
#undef CIFAR_KERNELS_WINOGRAD_INL_H_
#else
#define CIFAR_KERNELS_WINOGRAD_INL_H_
#endif

#include "kernels/outputs-inl.h"
#include "kernels/padded_image.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

constexpr int64_t kFrequencies = 16;

struct Four {
  V v0, v1, v2, v3;
};

// One dimension of the patch's transform.
HWY_INLINE Four transform_patch(V d0, V d1, V d2, V d3) {
  return {hn::Sub(d0, d2), hn::Add(d1, d2), hn::Sub(d2, d1), hn::Sub(d1, d3)};
}

class Winograd {
 public:
  explicit Winograd(const ConvBlock& block)
      : block_(block),
        image_(block, 2, 2),
        depth_(round_up(block.in_channels, 16)),
        patches_(make_floats(kFrequencies * kTile * depth_)),
        products_(make_floats(kFrequencies * kTile * block_channels())) {}

  void run(const float* input, const float* packed, const Outputs& outputs) {
    image_.load(input);
    const int64_t columns = outputs.square_columns();
    const int64_t squares = outputs.square_rows() * columns;
    for (int64_t first = 0; first < squares; first += kTile) {
      const int64_t count = std::min<int64_t>(kTile, squares - first);
      for (int64_t i = 0; i < count; ++i) {
        transform_square((first + i) / columns, (first + i) % columns, patches_.get() + i * depth_);
      }
      const float* weights = packed;
      for (int64_t channel = 0; channel < block_.out_channels; channel += block_channels()) {
        multiply(weights);
        weights += kFrequencies * block_.in_channels * block_channels();
        for (int64_t i = 0; i < count; ++i) {
          const int64_t square = first + i;
          const float* products = products_.get() + i * block_channels();
          put(products, outputs, channel, square / columns, square % columns);
          put(products + block_channels() / 2, outputs, channel + block_channels() / 2,
              square / columns, square % columns);
        }
      }
    }
  }

 private:
  // The patch of square (y, x): to[frequency][kTile][depth_].
  HWY_INLINE void transform_square(int64_t y, int64_t x, float* to) {
    const D d;
    const int64_t pixel = block_.in_channels, row = image_.row();
    const float* corner = image_.data() + 2 * y * row + 2 * x * pixel;
    const int64_t frequency = kTile * depth_;
    for (int64_t c = 0; c < pixel;
         c += static_cast<int64_t>(hn::Lanes(d)), corner += hn::Lanes(d)) {
      const auto line = [&](int64_t i) HWY_ATTR {
        const float* from = corner + i * row;
        return transform_patch(hn::LoadU(d, from), hn::LoadU(d, from + pixel),
                               hn::LoadU(d, from + 2 * pixel), hn::LoadU(d, from + 3 * pixel));
      };
      const Four a = line(0), b = line(1), e = line(2), f = line(3);
      const auto column = [&](V v0, V v1, V v2, V v3, int64_t j) HWY_ATTR {
        const Four out = transform_patch(v0, v1, v2, v3);
        float* place = to + j * frequency + c;
        hn::Store(out.v0, d, place);
        hn::Store(out.v1, d, place + 4 * frequency);
        hn::Store(out.v2, d, place + 8 * frequency);
        hn::Store(out.v3, d, place + 12 * frequency);
      };
      column(a.v0, b.v0, e.v0, f.v0, 0);
      column(a.v1, b.v1, e.v1, f.v1, 1);
      column(a.v2, b.v2, e.v2, f.v2, 2);
      column(a.v3, b.v3, e.v3, f.v3, 3);
    }
  }

  HWY_INLINE void multiply(const float* weights) {
    for (int64_t frequency = 0; frequency < kFrequencies; ++frequency) {
      const float* places[kTile];
      for (int64_t i = 0; i < kTile; ++i) {
        places[i] = patches_.get() + (frequency * kTile + i) * depth_;
      }
      Tile tile;
      clear(tile, Places());
      accumulate(tile, places, block_.in_channels, weights);
      weights += block_.in_channels * block_channels();
      store(tile, products_.get() + frequency * kTile * block_channels(), block_channels(),
            Places());
    }
  }

  // Transforms one square's products back.
  HWY_INLINE void put(const float* products, const Outputs& outputs, int64_t channel, int64_t y,
                      int64_t x) const {
    const D d;
    const int64_t frequency = kTile * block_channels();
    const auto column = [&](int64_t j, V& top, V& bottom) HWY_ATTR {
      const V m0 = hn::Load(d, products + j * frequency);
      const V m1 = hn::Load(d, products + (4 + j) * frequency);
      const V m2 = hn::Load(d, products + (8 + j) * frequency);
      const V m3 = hn::Load(d, products + (12 + j) * frequency);
      top = hn::Add(hn::Add(m0, m1), m2);
      bottom = hn::Sub(hn::Sub(m1, m2), m3);
    };
    V t0, t1, t2, t3, b0, b1, b2, b3;
    column(0, t0, b0);
    column(1, t1, b1);
    column(2, t2, b2);
    column(3, t3, b3);
    const V square[4] = {hn::Add(hn::Add(t0, t1), t2), hn::Sub(hn::Sub(t1, t2), t3),
                         hn::Add(hn::Add(b0, b1), b2), hn::Sub(hn::Sub(b1, b2), b3)};
    outputs.put_vector(square, channel, y, x);
  }

  const ConvBlock& block_;
  PaddedImage image_;
  int64_t depth_;
  Floats patches_, products_;
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

// Convolution as it is defined, a tile of two rows of outputs at a time. Included once an
// instruction set.
#if defined(CIFAR_KERNELS_DIRECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_DIRECT_INL_H_
#undef CIFAR_KERNELS_DIRECT_INL_H_
#else
#define CIFAR_KERNELS_DIRECT_INL_H_
#endif

#include "kernels/outputs-inl.h"
#include "kernels/padded_image.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// A tile is kTile / 4 squares of 2x2 outputs beside each other; place 4 * s + 2 * y + x is pixel
// (y, x) of square s.
class Direct {
 public:
  static constexpr int64_t kSquares = kTile / 4;

  Direct(const ConvBlock& block, Outputs& outputs)
      : block_(block), outputs_(outputs), image_(block, 2, 2 * kSquares) {
    for (int64_t place = 0; place < kTile; ++place) {
      const int64_t y = place % 4 / 2, x = place / 4 * 2 + place % 2;
      offsets_[place] = y * block.stride * image_.row() + x * block.stride * block.in_channels;
    }
  }

  void run(int64_t images, const float* input, const float* packed) {
    for (int64_t i = 0; i < images; ++i) {
      image_.load(input + i * block_.input_size());
      outputs_.begin(i);
      run_image(packed);
      outputs_.end();
    }
  }

 private:
  void run_image(const float* packed) const {
    const int64_t step = 2 * block_.stride;
    for (int64_t channel = 0; channel < block_.out_channels; channel += block_channels()) {
      const float* weights = packed + channel * block_.kernel * block_.patch_row();
      for (int64_t y = 0; y < outputs_.square_rows(); ++y) {
        for (int64_t x = 0; x < outputs_.square_columns(); x += kSquares) {
          const float* corner =
              image_.data() + y * step * image_.row() + x * step * block_.in_channels;
          outputs_.put(convolve(corner, weights), channel, y, x);
        }
      }
    }
  }

  HWY_INLINE Tile convolve(const float* corner, const float* weights) const {
    const float* places[kTile];
    for (int place = 0; place < kTile; ++place) places[place] = corner + offsets_[place];
    Tile tile;
    clear(tile, Places());
    const int64_t length = block_.patch_row();
    for (int64_t ky = 0; ky < block_.kernel; ++ky) {
      accumulate(tile, places, length, weights);
      weights += length * block_channels();
      for (const float*& place : places) place += image_.row();
    }
    return tile;
  }

  const ConvBlock& block_;
  Outputs& outputs_;
  PaddedImage image_;
  int64_t offsets_[kTile];
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

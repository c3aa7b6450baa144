// What becomes of convolution outputs, which come in squares of 2x2. Pooled over exactly such
// squares they go straight from registers to the block's output; otherwise by way of an image of
// convolution outputs. Included once an instruction set.
#if defined(CIFAR_KERNELS_OUTPUTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_OUTPUTS_INL_H_
#undef CIFAR_KERNELS_OUTPUTS_INL_H_
#else
#define CIFAR_KERNELS_OUTPUTS_INL_H_
#endif

#include <algorithm>

#include "kernels/padded_image.h"
#include "kernels/pool-inl.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

class Outputs {
 public:
  // `output` and `winners`, which may be null: of all images.
  Outputs(const ConvBlock& block, const float* bias, float* output, uint8_t* winners)
      : block_(block),
        bias_(bias),
        all_output_(output),
        all_winners_(winners),
        pools_squares_(block.pool == 2 && block.pool_stride == 2) {
    if (pools_squares_) {
      rows_ = block.out_height();
      columns_ = block.out_width();
      return;
    }
    rows_ = (block.conv_height() + 1) / 2;
    columns_ = (block.conv_width() + 1) / 2;
    conv_ = make_scratch(rows_ * columns_ * 4 * round_up(block.out_channels, block_channels()));
  }

  // Squares of 2x2 convolution outputs that are wanted.
  int64_t square_rows() const { return rows_; }
  int64_t square_columns() const { return columns_; }

  // Whether squares go straight to the output, of any image at any time.
  bool pools_squares() const { return pools_squares_; }

  // From here on, outputs are those of this image.
  HWY_INLINE void begin(int64_t image) {
    output_ = all_output_ + image * block_.output_size();
    if (all_winners_ != nullptr) winners_ = all_winners_ + image * block_.output_size();
  }

  // Squares (y, x), (y, x + 1), ... of a tile; those beyond the edge are dropped.
  HWY_INLINE void put(const Tile& tile, int64_t channel, int64_t y, int64_t x) const {
    put_square(tile.low, tile.high, channel, y, x);
    if constexpr (kTile == 8) {
      if (x + 1 < columns_) put_square(tile.low + 4, tile.high + 4, channel, y, x + 1);
    }
  }

  HWY_INLINE void put_square(const V* low, const V* high, int64_t channel, int64_t y,
                             int64_t x) const {
    const auto lanes = block_channels() / 2;
    put_vector(low, channel, y, x);
    put_vector(high, channel + lanes, y, x);
  }

  // One vector of channels; pixel (y, x) of the square is square[2 * y + x].
  HWY_INLINE void put_vector(const V* square, int64_t channel, int64_t y, int64_t x) const {
    if (pools_squares_) {
      if (channel >= block_.out_channels) return;
      Best best(square[0]);
      best.consider(square[1], 1);
      best.consider(square[2], 2);
      best.consider(square[3], 3);
      finish(best, load_bias(channel), block_.relu,
             destination((y * columns_ + x) * block_.out_channels + channel, channel));
      return;
    }
    const D d;
    float* corner = conv(2 * y, 2 * x, channel);
    float* below = conv(2 * y + 1, 2 * x, channel);
    hn::Store(square[0], d, corner);
    hn::Store(square[1], d, corner + block_channels());
    hn::Store(square[2], d, below);
    hn::Store(square[3], d, below + block_channels());
  }

  // After the last square of an image.
  void end() const {
    if (pools_squares_) return;
    const int64_t lanes = block_channels() / 2;
    for (int64_t channel = 0; channel < block_.out_channels; channel += lanes) {
      const V bias = load_bias(channel);
      int64_t place = channel;
      for (int64_t y = 0; y < block_.out_height(); ++y) {
        for (int64_t x = 0; x < block_.out_width(); ++x, place += block_.out_channels) {
          pool_window(channel, y, x, bias, destination(place, channel));
        }
      }
    }
  }

 private:
  // The image of convolution outputs: [channel block][2 rows_][2 columns_][block_channels()].
  float* conv(int64_t y, int64_t x, int64_t channel) const {
    const int64_t block = channel / block_channels(), within = channel % block_channels();
    const int64_t pixel = (block * 2 * rows_ + y) * 2 * columns_ + x;
    return conv_.get() + pixel * block_channels() + within;
  }

  HWY_INLINE void pool_window(int64_t channel, int64_t y, int64_t x, V bias,
                              const Destination& to) const {
    const D d;
    const float* corner = conv(y * block_.pool_stride, x * block_.pool_stride, channel);
    Best best(hn::Load(d, corner));
    for (int64_t wy = 0, tap = 0; wy < block_.pool; ++wy) {
      const float* pixel = corner + wy * 2 * columns_ * block_channels();
      for (int64_t wx = 0; wx < block_.pool; ++wx, ++tap, pixel += block_channels()) {
        best.consider(hn::Load(d, pixel), static_cast<int32_t>(tap));
      }
    }
    finish(best, bias, block_.relu, to);
  }

  HWY_INLINE V load_bias(int64_t channel) const {
    const D d;
    if (bias_ == nullptr) return hn::Zero(d);
    return load_floats(bias_ + channel, block_.out_channels - channel);
  }

  HWY_INLINE Destination destination(int64_t place, int64_t channel) const {
    return {output_ + place, winners_ == nullptr ? nullptr : winners_ + place,
            block_.out_channels - channel};
  }

  const ConvBlock& block_;
  const float* bias_;
  float* all_output_;
  uint8_t* all_winners_;
  bool pools_squares_;
  int64_t rows_, columns_;
  Floats conv_;
  float* output_ = nullptr;
  uint8_t* winners_ = nullptr;
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

// The outputs of some images that receive gradient, listed by output channel: what the weight
// gradient looks at. Included once an instruction set.
#if defined(CIFAR_KERNELS_LIVE_OUTPUTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_LIVE_OUTPUTS_INL_H_
#undef CIFAR_KERNELS_LIVE_OUTPUTS_INL_H_
#else
#define CIFAR_KERNELS_LIVE_OUTPUTS_INL_H_
#endif

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/conv_block.h"
#include "kernels/pick-inl.h"
#include "kernels/transpose-inl.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// Live outputs of one channel: where the patch of each begins in the padded inputs, in floats from
// the first image's, and its gradient.
struct LiveList {
  const int32_t* corners;
  const float* gradients;
  int64_t count;

  HWY_INLINE V gradient(int64_t i) const { return hn::Set(D(), gradients[i]); }
};

// How far pixel `tap` of a window lies from its first; exact for taps below 256. Made once before a
// loop, since the compiler cannot know that what a loop stores leaves these alone.
class TapOffset {
 public:
  TapOffset(int64_t pool, int64_t row, int64_t pixel)
      : reciprocal_(set(65536 / pool + 1)), pixel_(set(pixel)), row_(set(row - pool * pixel)) {}

  HWY_INLINE VInt operator()(VInt tap) const {
    const auto y = hn::ShiftRight<16>(hn::Mul(tap, reciprocal_));
    return hn::Add(hn::Mul(tap, pixel_), hn::Mul(y, row_));
  }

 private:
  static HWY_INLINE VInt set(int64_t value) { return hn::Set(DInt(), static_cast<int32_t>(value)); }

  VInt reciprocal_, pixel_, row_;
};

class LiveOutputs {
 public:
  // Of up to `images` images. `row`, `pixel` and `image`: floats from one row, pixel or image of
  // the padded inputs to the next.
  LiveOutputs(const ConvBlock& block, int64_t images, int64_t row, int64_t pixel, int64_t image)
      : channels_(block.out_channels),
        pool_(block.pool),
        tap_row_(block.stride * row),
        tap_pixel_(block.stride * pixel),
        image_(image),
        outputs_(block.out_height() * block.out_width()),
        padded_outputs_(round_up(outputs_, 16) + 16),
        capacity_(round_up(images * outputs_, 16) + 16),
        winners_(static_cast<size_t>(channels_ * padded_outputs_), kNoWinner),
        all_gradients_(new float[static_cast<size_t>(channels_ * padded_outputs_)]),
        corners_(new int32_t[static_cast<size_t>(channels_ * capacity_)]),
        gradients_(new float[static_cast<size_t>(channels_ * capacity_)]),
        ends_(static_cast<size_t>((images + 1) * channels_)) {
    for (int64_t i = 0; i < padded_outputs_; ++i) {
      const int64_t y = i / block.out_width(), x = i % block.out_width();
      output_corners_.push_back(
          static_cast<int32_t>((y * tap_row_ + x * tap_pixel_) * block.pool_stride));
    }
  }

  // Image `index`'s, behind those of the images before it.
  void load(int64_t index, const uint8_t* winners, const float* gradients) {
    transpose_bytes(winners, outputs_, channels_, winners_.data(), padded_outputs_);
    transpose_floats(gradients, outputs_, channels_, all_gradients_.get(), padded_outputs_);
    const int64_t* begin = ends_.data() + index * channels_;
    int64_t* end = ends_.data() + (index + 1) * channels_;
    for (int64_t channel = 0; channel < channels_; ++channel) {
      end[channel] = begin[channel] + collect(channel, index * image_, begin[channel]);
    }
  }

  // Those of the first `images` images.
  LiveList list(int64_t channel, int64_t images) const {
    const int64_t place = channel * capacity_;
    return {corners_.get() + place, gradients_.get() + place, ends_[images * channels_ + channel]};
  }

 private:
  // No branch on whether an output lives: it would go wrong half of the time.
  HWY_INLINE int64_t collect(int64_t channel, int64_t offset, int64_t begin) {
    const D df;
    const DInt d;
    const hn::Rebind<uint8_t, DInt> d8;
    const uint8_t* winners = winners_.data() + channel * padded_outputs_;
    const float* const all = all_gradients_.get() + channel * padded_outputs_;
    float* const gradients = gradients_.get() + channel * capacity_ + begin;
    int32_t* const corners = corners_.get() + channel * capacity_ + begin;
    const int32_t* const output_corners = output_corners_.data();
    const auto image = hn::Set(d, static_cast<int32_t>(offset));
    const TapOffset tap_offset(pool_, tap_row_, tap_pixel_);
    const int64_t outputs = outputs_;
    int64_t count = 0;
    for (int64_t i = 0; i < outputs; i += static_cast<int64_t>(hn::Lanes(d))) {
      const auto winner = hn::PromoteTo(d, hn::LoadU(d8, winners + i));
      const Picked live(hn::Lt(winner, hn::Set(d, kNoWinner)));
      const auto window = hn::Add(hn::LoadU(d, output_corners + i), image);
      const auto corner = hn::Add(window, tap_offset(winner));
      hn::StoreU(live.of(corner), d, corners + count);
      hn::StoreU(live.of(hn::LoadU(df, all + i)), df, gradients + count);
      count += live.count();
    }
    return count;
  }

  int64_t channels_, pool_, tap_row_, tap_pixel_, image_, outputs_, padded_outputs_, capacity_;
  std::vector<int32_t> output_corners_;
  std::vector<uint8_t> winners_;  // of one image
  std::unique_ptr<float[]> all_gradients_;
  std::unique_ptr<int32_t[]> corners_;
  std::unique_ptr<float[]> gradients_;
  std::vector<int64_t> ends_;  // [image][channel]: of the lists before the image
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

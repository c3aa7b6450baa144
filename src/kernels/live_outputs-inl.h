// The outputs of one image that receive gradient, listed by output channel: what the weight
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
#include "kernels/transpose-inl.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

using DInt = hn::RebindToSigned<D>;

// Live outputs of one channel: where the patch of each begins in the padded input, in floats, and
// its gradient.
struct LiveList {
  const int32_t* corners;
  const float* gradients;
  int64_t count;

  HWY_INLINE V gradient(int64_t i) const { return hn::Set(D(), gradients[i]); }
};

class LiveOutputs {
 public:
  // `row` and `pixel`: floats from one row or pixel of the padded input to the next.
  LiveOutputs(const ConvBlock& block, int64_t row, int64_t pixel)
      : channels_(block.out_channels),
        pool_(block.pool),
        tap_row_(block.stride * row),
        tap_pixel_(block.stride * pixel),
        outputs_(block.out_height() * block.out_width()),
        capacity_(round_up(outputs_, 16) + 16),
        winners_(static_cast<size_t>(channels_ * capacity_), kNoWinner),
        corners_(new int32_t[static_cast<size_t>(channels_ * capacity_)]),
        gradients_(new float[static_cast<size_t>(channels_ * capacity_)]),
        all_gradients_(new float[static_cast<size_t>(channels_ * capacity_)]),
        counts_(static_cast<size_t>(channels_)) {
    for (int64_t i = 0; i < capacity_; ++i) {
      const int64_t y = i / block.out_width(), x = i % block.out_width();
      output_corners_.push_back(
          static_cast<int32_t>((y * tap_row_ + x * tap_pixel_) * block.pool_stride));
    }
  }

  void load(const uint8_t* winners, const float* gradients) {
    transpose_bytes(winners, outputs_, channels_, winners_.data(), capacity_);
    transpose_floats(gradients, outputs_, channels_, all_gradients_.get(), capacity_);
    for (int64_t channel = 0; channel < channels_; ++channel) counts_[channel] = collect(channel);
  }

  LiveList list(int64_t channel) const {
    return {corners_.get() + channel * capacity_, gradients_.get() + channel * capacity_,
            counts_[channel]};
  }

 private:
  // No branch on whether an output lives: it would go wrong half of the time.
  HWY_INLINE int64_t collect(int64_t channel) {
    const D df;
    const DInt d;
    const hn::Rebind<uint8_t, DInt> d8;
    const uint8_t* winners = winners_.data() + channel * capacity_;
    const float* const all = all_gradients_.get() + channel * capacity_;
    float* const gradients = gradients_.get() + channel * capacity_;
    int32_t* const corners = corners_.get() + channel * capacity_;
    int64_t count = 0;
    for (int64_t i = 0; i < outputs_; i += static_cast<int64_t>(hn::Lanes(d))) {
      const auto winner = hn::PromoteTo(d, hn::LoadU(d8, winners + i));
      const auto live = hn::Lt(winner, hn::Set(d, kNoWinner));
      const auto corner = hn::Add(hn::LoadU(d, output_corners_.data() + i), tap_offset(winner));
      hn::StoreU(hn::Compress(corner, live), d, corners + count);
      hn::StoreU(hn::Compress(hn::LoadU(df, all + i), hn::RebindMask(df, live)), df,
                 gradients + count);
      count += static_cast<int64_t>(hn::CountTrue(d, live));
    }
    return count;
  }

  // Of the window's pixel `tap`; the division is exact for taps below 256.
  HWY_INLINE hn::Vec<DInt> tap_offset(hn::Vec<DInt> tap) const {
    const DInt d;
    const auto set = [&](int64_t value)
                         HWY_ATTR { return hn::Set(d, static_cast<int32_t>(value)); };
    const auto y = hn::ShiftRight<16>(hn::Mul(tap, set(65536 / pool_ + 1)));
    return hn::Add(hn::Mul(tap, set(tap_pixel_)), hn::Mul(y, set(tap_row_ - pool_ * tap_pixel_)));
  }

  int64_t channels_, pool_, tap_row_, tap_pixel_, outputs_, capacity_;
  std::vector<int32_t> output_corners_;
  std::vector<uint8_t> winners_;
  std::unique_ptr<int32_t[]> corners_;
  std::unique_ptr<float[]> gradients_, all_gradients_;
  std::vector<int64_t> counts_;
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

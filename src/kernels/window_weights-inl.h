// The weight gradient of a 3x3 convolution of few channels before max-pool 2, as an image's first
// layer is: window by window, with output channels as lanes, each lane looking its own winner's
// patch up in two rows of the image. No lists, and no load of a patch for each live output.
// Included once an instruction set.
#if defined(CIFAR_KERNELS_WINDOW_WEIGHTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_WINDOW_WEIGHTS_INL_H_
#undef CIFAR_KERNELS_WINDOW_WEIGHTS_INL_H_
#else
#define CIFAR_KERNELS_WINDOW_WEIGHTS_INL_H_
#endif

#include <utility>
#include <vector>

#include "kernels/conv_block.h"
#include "kernels/planes-inl.h"
#include "kernels/transpose-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// Adds the windows in order, as add_weight_gradient adds a list of them: the bits are the same.
class WindowWeights {
 public:
  // A row of a window's patch has at most 16 values.
  static bool fits(const ConvBlock& block) {
    return block.kernel == 3 && block.stride == 1 && block.pool == 2 && block.pool_stride == 2 &&
           block.in_channels <= 4;
  }
  static bool takes(const ConvBlock& block) {
    return kManyRegisters && fits(block) && block.out_channels % 16 == 0;
  }

  WindowWeights(const ConvBlock& block, const Layout& layout)
      : block_(block),
        layout_(layout),
        sums_(make_floats(9 * block.in_channels * block.out_channels)) {}

  // Adds those of an image, whose plane is `plane`.
  void add(const float* plane, const uint8_t* winners, const float* gradients) {
    switch (block_.in_channels) {
      case 1:
        return add_image<1>(plane, winners, gradients);
      case 2:
        return add_image<2>(plane, winners, gradients);
      case 3:
        return add_image<3>(plane, winners, gradients);
      default:
        return add_image<4>(plane, winners, gradients);
    }
  }

  void store(float* weight_gradients) const {
    const int64_t patch = 9 * block_.in_channels;
    transpose_floats(sums_.get(), patch, block_.out_channels, weight_gradients, patch);
  }

 private:
  // sum + gradient * value in the live lanes, the value at place[i] of both rows, 16 values each.
  // The others may not even add 0 times infinity.
  static HWY_INLINE V add_live(V sum, V gradient, V above, V below, VInt place, hn::Mask<D> live) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    const __m512 value = _mm512_permutex2var_ps(above.raw, place.raw, below.raw);
    return V{_mm512_mask3_fmadd_ps(gradient.raw, value, sum.raw, live.raw)};
#else
    (void)gradient, (void)above, (void)below, (void)place, (void)live;
    return sum;  // takes() is false
#endif
  }

  // In two halves of a patch's row, since the registers hold no more sums.
  template <int kChannels>
  void add_image(const float* plane, const uint8_t* winners, const float* gradients) {
    constexpr size_t kValues = 3 * kChannels, kFirst = (kValues + 1) / 2;
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    for (int64_t channel = 0; channel < block_.out_channels; channel += lanes) {
      float* sums = sums_.get() + channel;
      add_values<kChannels, 0>(plane, winners + channel, gradients + channel, sums,
                               std::make_index_sequence<kFirst>());
      add_values<kChannels, kFirst>(plane, winners + channel, gradients + channel, sums,
                                    std::make_index_sequence<kValues - kFirst>());
    }
  }

  // Values kFirst, kFirst + 1, ... of each row of the filters of a vector of channels.
  template <int kChannels, size_t kFirst, size_t... kValue>
  HWY_INLINE void add_values(const float* plane, const uint8_t* winners, const float* gradients,
                             float* sums, std::index_sequence<kValue...>) const {
    const D d;
    const DInt di;
    const hn::Rebind<uint8_t, DInt> d8;
    const int64_t channels = block_.out_channels, row = layout_.row;
    const int64_t height = block_.out_height(), width = block_.out_width();
    const auto place_of = [&](int64_t ky, size_t value) {
      return sums + (3 * kChannels * ky + static_cast<int64_t>(kFirst + value)) * channels;
    };
    V top[] = {hn::LoadU(d, place_of(0, kValue))...};
    V middle[] = {hn::LoadU(d, place_of(1, kValue))...};
    V bottom[] = {hn::LoadU(d, place_of(2, kValue))...};
    for (int64_t y = 0; y < height; ++y) {
      const float* corner = plane + 2 * y * row;
      for (int64_t x = 0; x < width; ++x, corner += 2 * kChannels) {
        const V r0 = hn::LoadU(d, corner), r1 = hn::LoadU(d, corner + row);
        const V r2 = hn::LoadU(d, corner + 2 * row), r3 = hn::LoadU(d, corner + 3 * row);
        const VInt winner = hn::PromoteTo(di, hn::LoadU(d8, winners));
        const auto live = hn::RebindMask(d, hn::Lt(winner, hn::Set(di, kNoWinner)));
        const V gradient = hn::LoadU(d, gradients);
        const VInt place = place_of_winner<kChannels>(winner);
        const auto add = [&](size_t i) HWY_ATTR {
          const VInt at = hn::Add(place, hn::Set(di, static_cast<int32_t>(kFirst + i)));
          top[i] = add_live(top[i], gradient, r0, r1, at, live);
          middle[i] = add_live(middle[i], gradient, r1, r2, at, live);
          bottom[i] = add_live(bottom[i], gradient, r2, r3, at, live);
        };
        (add(kValue), ...);
        winners += channels;
        gradients += channels;
      }
    }
    (hn::StoreU(top[kValue], d, place_of(0, kValue)), ...);
    (hn::StoreU(middle[kValue], d, place_of(1, kValue)), ...);
    (hn::StoreU(bottom[kValue], d, place_of(2, kValue)), ...);
  }

  // Where the winner's row begins in a pair of rows.
  template <int kChannels>
  static HWY_INLINE VInt place_of_winner(VInt winner) {
    const DInt d;
    const auto bit = [&](int32_t i)
                         HWY_ATTR { return hn::Ne(hn::And(winner, hn::Set(d, i)), hn::Zero(d)); };
    return hn::Add(hn::IfThenElseZero(bit(1), hn::Set(d, kChannels)),
                   hn::IfThenElseZero(bit(2), hn::Set(d, 16)));
  }

  const ConvBlock& block_;
  const Layout& layout_;
  Floats sums_;  // [ky][kx][in][out]
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

// The channels of a window of 2x2 pixels in the order of the pixels that won. Included once an
// instruction set.
#if defined(CIFAR_KERNELS_SORT_BY_WINNER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_SORT_BY_WINNER_INL_H_
#undef CIFAR_KERNELS_SORT_BY_WINNER_INL_H_
#else
#define CIFAR_KERNELS_SORT_BY_WINNER_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/lane_lists.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kMaxSorted = 64;
static_assert(std::endian::native == std::endian::little);  // for the order of a list's bytes

// For each pixel a bit for each of `count` channels, set where the pixel won.
struct WinnerBits {
  // A row more than there are pixels, since Highway may write 8 bytes for the bits of a vector.
  uint8_t of[5][kMaxSorted / 8];

  HWY_INLINE WinnerBits(const uint8_t* winners, int64_t count) {
    // At most 16 lanes, since many layers have fewer channels than a vector has bytes.
    const HWY_CAPPED(uint8_t, 16) d;
    const auto lanes = static_cast<int64_t>(hn::Lanes(d));
    std::memset(of, 0, sizeof of);
    int64_t c = 0;
    if (lanes % 8 == 0) {
      for (; c + lanes <= count; c += lanes) add(c, hn::LoadU(d, winners + c));
    }
    for (; c < count; ++c) {
      if (winners[c] < 4) of[winners[c]][c / 8] |= static_cast<uint8_t>(1 << c % 8);
    }
  }

 private:
  template <class Bytes>
  HWY_INLINE void add(int64_t channel, Bytes winners) {
    const hn::DFromV<Bytes> d;
    for (uint8_t pixel = 0; pixel < 4; ++pixel) {
      hn::StoreMaskBits(d, hn::Eq(winners, hn::Set(d, pixel)), of[pixel] + channel / 8);
    }
  }
};

// Writes the numbers of those of `count` <= kMaxSorted channels that pixel 0 won, then of those
// that pixel 1 won, and so on, and up to 8 bytes more; how many each won goes to `counts`. Returns
// how many there are. For whole vectors there is no branch on who won, which would go wrong half of
// the time.
HWY_INLINE int64_t sort_by_winner(const uint8_t* winners, int64_t count, uint8_t* to,
                                  uint8_t* counts) {
  const WinnerBits bits(winners, count);
  uint8_t* next = to;
  for (int64_t pixel = 0; pixel < 4; ++pixel) {
    const uint8_t* const begin = next;
    for (int64_t first = 0; first < count; first += 8) {
      const uint8_t mask = bits.of[pixel][first / 8];
      const uint64_t numbers =
          kLaneLists[mask] + static_cast<uint64_t>(first) * uint64_t{0x0101010101010101};
      std::memcpy(next, &numbers, sizeof numbers);
      next += std::popcount(mask);
    }
    counts[pixel] = static_cast<uint8_t>(next - begin);
  }
  return next - to;
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

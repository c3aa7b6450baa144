// The inner kernel of both forward methods: kTile places x two vectors of output channels in
// registers. Included once an instruction set (Highway's foreach_target).
#if defined(CIFAR_KERNELS_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_TILE_INL_H_
#undef CIFAR_KERNELS_TILE_INL_H_
#else
#define CIFAR_KERNELS_TILE_INL_H_
#endif

#include <cstdint>
#include <utility>

#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {
// As large as the registers allow.
constexpr int kTile = kManyRegisters ? 8 : 4;

HWY_INLINE int64_t block_channels() {
  return 2 * static_cast<int64_t>(hn::Lanes(D()));
}

// Arrays that only constants index, in functions that are inlined: g++ keeps them in registers,
// which it does not when a loop, even an unrolled one, runs over them.
using Places = std::make_index_sequence<kTile>;

struct Tile {
  V low[kTile], high[kTile];
};

template <size_t... kPlace>
HWY_INLINE void clear(Tile& tile, std::index_sequence<kPlace...>) {
  ((tile.low[kPlace] = hn::Zero(D()), tile.high[kPlace] = hn::Zero(D())), ...);
}

template <size_t... kPlace>
HWY_INLINE void add_step(Tile& tile, const float* HWY_RESTRICT const (&places)[kTile], int64_t i,
                         V low, V high, std::index_sequence<kPlace...>) {
  const D d;
  ((tile.low[kPlace] = hn::MulAdd(hn::Set(d, places[kPlace][i]), low, tile.low[kPlace]),
    tile.high[kPlace] = hn::MulAdd(hn::Set(d, places[kPlace][i]), high, tile.high[kPlace])),
   ...);
}

// tile[place] += sum over i < length of places[place][i] * weights[i][block_channels()].
HWY_INLINE void accumulate(Tile& tile, const float* HWY_RESTRICT const (&places)[kTile],
                           int64_t length, const float* HWY_RESTRICT weights) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t i = 0; i < length; ++i) {
    add_step(tile, places, i, hn::LoadU(d, weights), hn::LoadU(d, weights + lanes), Places());
    weights += 2 * lanes;
  }
}

// tile += what lies where store() put it.
template <size_t... kPlace>
HWY_INLINE void add(Tile& tile, const float* from, int64_t stride, std::index_sequence<kPlace...>) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  ((tile.low[kPlace] = hn::Add(hn::Load(d, from + kPlace * stride), tile.low[kPlace]),
    tile.high[kPlace] = hn::Add(hn::Load(d, from + kPlace * stride + lanes), tile.high[kPlace])),
   ...);
}

template <size_t... kPlace>
HWY_INLINE void store(const Tile& tile, float* HWY_RESTRICT to, int64_t stride,
                      std::index_sequence<kPlace...>) {
  const D d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  ((hn::Store(tile.low[kPlace], d, to + kPlace * stride),
    hn::Store(tile.high[kPlace], d, to + kPlace * stride + lanes)),
   ...);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

// Bias, max-pool, winner and ReLU on convolution outputs. Included once an instruction set.
#if defined(CIFAR_KERNELS_POOL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_POOL_INL_H_
#undef CIFAR_KERNELS_POOL_INL_H_
#else
#define CIFAR_KERNELS_POOL_INL_H_
#endif

#include <cstring>

#include "kernels/conv_block.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// The running maximum of a window, and which pixel of it that was.
struct Best {
  V value;
  VInt winner;

  explicit Best(V first) : value(first), winner(hn::Zero(DInt())) {}

  HWY_INLINE void consider(V candidate, int32_t tap) {
    const auto wins = hn::Or(hn::Gt(candidate, value), hn::IsNaN(candidate));
    value = hn::IfThenElse(wins, candidate, value);
    winner = hn::IfThenElse(hn::RebindMask(DInt(), wins), hn::Set(DInt(), tap), winner);
  }
};

// Where the outputs of one vector of channels go. `count` of its lanes exist.
struct Destination {
  float* output;
  uint8_t* winners;  // may be null
  int64_t count;
};

HWY_INLINE void store_codes(VInt codes, uint8_t* to, int64_t count) {
  const hn::Rebind<uint8_t, DInt> d;
  const auto bytes = hn::DemoteTo(d, codes);
  if (count >= static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(bytes, d, to);
    return;
  }
  HWY_ALIGN uint8_t all[16];
  hn::Store(bytes, d, all);
  std::memcpy(to, all, static_cast<size_t>(count));
}

// The bias is added after the maximum: rounding keeps order, so the maximum is the same, and a tie
// that only the addition would make goes to the larger of the two.
HWY_INLINE void finish(Best best, V bias, bool relu, const Destination& to) {
  const D d;
  V value = hn::Add(best.value, bias);
  if (relu) {
    const auto dead = hn::Le(value, hn::Zero(d));
    value = hn::IfThenZeroElse(dead, value);
    best.winner =
        hn::IfThenElse(hn::RebindMask(DInt(), dead), hn::Set(DInt(), kNoWinner), best.winner);
  }
  store_floats(value, to.output, to.count);
  if (to.winners != nullptr) store_codes(best.winner, to.winners, to.count);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

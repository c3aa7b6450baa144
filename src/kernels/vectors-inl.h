// The vectors that the kernels work with, and how to load and store a part of one. Included once an
// instruction set.
#if defined(CIFAR_KERNELS_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_VECTORS_INL_H_
#undef CIFAR_KERNELS_VECTORS_INL_H_
#else
#define CIFAR_KERNELS_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes; with AVX-512 there are 32 registers, without it 16.
using D = HWY_CAPPED(float, 16);
using V = hn::Vec<D>;
using DInt = hn::RebindToSigned<D>;
using VInt = hn::Vec<DInt>;
constexpr bool kManyRegisters = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;

// `count` floats, or as many as a vector has; zeros behind them. No other memory is read.
HWY_INLINE V load_floats(const float* from, int64_t count) {
  const D d;
  if (count >= static_cast<int64_t>(hn::Lanes(d))) return hn::LoadU(d, from);
  HWY_ALIGN float all[16] = {};
  std::memcpy(all, from, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(d, all);
}

// The first `count` lanes, or all. No other memory is written.
HWY_INLINE void store_floats(V values, float* to, int64_t count) {
  const D d;
  if (count >= static_cast<int64_t>(hn::Lanes(d))) {
    hn::StoreU(values, d, to);
    return;
  }
  HWY_ALIGN float all[16];
  hn::Store(values, d, all);
  std::memcpy(to, all, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

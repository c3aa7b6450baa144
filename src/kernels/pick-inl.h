// Lanes that a mask picks, moved to the front of a vector: Highway's Compress, but for AVX2, where
// Highway 1.0.3 keeps its table in the function and g++ 12 copies that to the stack in every call,
// which made two fifths of the training step. Included once an instruction set.
#if defined(CIFAR_KERNELS_PICK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_PICK_INL_H_
#undef CIFAR_KERNELS_PICK_INL_H_
#else
#define CIFAR_KERNELS_PICK_INL_H_
#endif

#include <bit>
#include <cstdint>

#include "kernels/lane_lists.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

#if HWY_TARGET == HWY_AVX2

class Picked {
 public:
  explicit HWY_INLINE Picked(hn::Mask<DInt> mask)
      : mask_(static_cast<uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(mask.raw)))),
        lanes_(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(kLaneLists[mask_])))) {}

  HWY_INLINE int64_t count() const { return std::popcount(mask_); }
  HWY_INLINE VInt of(VInt from) const {
    return VInt{_mm256_permutevar8x32_epi32(from.raw, lanes_)};
  }
  HWY_INLINE V of(V from) const { return V{_mm256_permutevar8x32_ps(from.raw, lanes_)}; }

 private:
  uint32_t mask_;
  __m256i lanes_;
};

#else

class Picked {
 public:
  explicit HWY_INLINE Picked(hn::Mask<DInt> mask) : mask_(mask) {}

  HWY_INLINE int64_t count() const { return static_cast<int64_t>(hn::CountTrue(DInt(), mask_)); }
  HWY_INLINE VInt of(VInt from) const { return hn::Compress(from, mask_); }
  HWY_INLINE V of(V from) const { return hn::Compress(from, hn::RebindMask(D(), mask_)); }

 private:
  hn::Mask<DInt> mask_;
};

#endif

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

// A part of a filter that fits into registers: kRows rows of kVectors vectors, which lie one after
// another in the filter and `row` floats apart in an image. Included once an instruction set.
#if defined(CIFAR_KERNELS_PART_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_PART_INL_H_
#undef CIFAR_KERNELS_PART_INL_H_
#else
#define CIFAR_KERNELS_PART_INL_H_
#endif

#include <utility>

#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

template <int kRows, int kVectors>
struct Part {
  static constexpr size_t kSize = kRows * kVectors;
  using Indices = std::make_index_sequence<kSize>;

  static HWY_INLINE int64_t place(size_t i, int64_t row) {
    return static_cast<int64_t>(i / kVectors) * row +
           static_cast<int64_t>(i % kVectors * hn::Lanes(D()));
  }
};

template <class P, size_t... kPart>
HWY_INLINE void load_filter(V (&to)[P::kSize], const float* from, std::index_sequence<kPart...>) {
  ((to[kPart] = hn::LoadU(D(), from + kPart * hn::Lanes(D()))), ...);
}

template <class P, size_t... kPart>
HWY_INLINE void store_filter(const V (&from)[P::kSize], float* to, std::index_sequence<kPart...>) {
  (hn::Store(from[kPart], D(), to + kPart * hn::Lanes(D())), ...);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

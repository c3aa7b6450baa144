// The weight gradient: for each output channel a run over its live outputs that keeps the gradient
// of one filter, or of one row of it, in registers. Included once an instruction set.
#if defined(CIFAR_KERNELS_WEIGHT_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_WEIGHT_GRADIENT_INL_H_
#undef CIFAR_KERNELS_WEIGHT_GRADIENT_INL_H_
#else
#define CIFAR_KERNELS_WEIGHT_GRADIENT_INL_H_
#endif

#include <utility>

#include "kernels/live_outputs-inl.h"
#include "kernels/part-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

template <class P, size_t... kPart>
HWY_INLINE void add_patch(V (&sum)[P::kSize], const float* HWY_RESTRICT patch, int64_t row,
                          V gradient, std::index_sequence<kPart...>) {
  ((sum[kPart] = hn::MulAdd(gradient, hn::LoadU(D(), patch + P::place(kPart, row)), sum[kPart])),
   ...);
}

template <size_t kSize, size_t... kPart>
HWY_INLINE void zero(V (&sum)[kSize], std::index_sequence<kPart...>) {
  ((sum[kPart] = hn::Zero(D())), ...);
}

template <size_t kSize, size_t... kPart>
HWY_INLINE void add_to(V (&sum)[kSize], const V (&other)[kSize], std::index_sequence<kPart...>) {
  ((sum[kPart] = hn::Add(sum[kPart], other[kPart])), ...);
}

// Adds four patches for whose gradients one load is enough: loads are what bounds this.
template <class P>
HWY_INLINE void add_four_patches(V (&sum)[P::kSize], const float* HWY_RESTRICT plane, int64_t row,
                                 const int32_t* corners, const float* gradients) {
  constexpr auto kParts = typename P::Indices();
#if HWY_TARGET == HWY_SCALAR
  for (int64_t i = 0; i < 4; ++i) {
    add_patch<P>(sum, plane + corners[i], row, hn::Set(D(), gradients[i]), kParts);
  }
#else
  const V four = hn::LoadDup128(D(), gradients);
  add_patch<P>(sum, plane + corners[0], row, hn::Broadcast<0>(four), kParts);
  add_patch<P>(sum, plane + corners[1], row, hn::Broadcast<1>(four), kParts);
  add_patch<P>(sum, plane + corners[2], row, hn::Broadcast<2>(four), kParts);
  add_patch<P>(sum, plane + corners[3], row, hn::Broadcast<3>(four), kParts);
#endif
}

// filter = (begun ? filter : 0) + sum over live outputs of gradient * patch, in their order. A
// second set of sums takes every other output where kChains is 2, since so few sums would wait for
// one another.
template <int kRows, int kVectors, int kChains>
void add_weight_gradient(float* filter, bool begun, int64_t row, const LiveList& live,
                         const float* HWY_RESTRICT plane) {
  using P = Part<kRows, kVectors>;
  constexpr auto kParts = typename P::Indices();
  V sum[P::kSize];
  zero(sum, kParts);
  if (begun) load_filter<P>(sum, filter, kParts);
  int64_t i = 0;
  if constexpr (kChains == 2) {
    V other[P::kSize];
    zero(other, kParts);
    for (; i + 1 < live.count; i += 2) {
      add_patch<P>(sum, plane + live.corners[i], row, live.gradient(i), kParts);
      add_patch<P>(other, plane + live.corners[i + 1], row, live.gradient(i + 1), kParts);
    }
    add_to(sum, other, kParts);
  }
  for (; i + 4 <= live.count; i += 4) {
    add_four_patches<P>(sum, plane, row, live.corners + i, live.gradients + i);
  }
  for (; i < live.count; ++i) {
    add_patch<P>(sum, plane + live.corners[i], row, live.gradient(i), kParts);
  }
  store_filter<P>(sum, filter, kParts);
}

// Likewise of two planes at once, `filter_plane` and `plane_size` floats apart.
template <int kRows, int kVectors>
void add_weight_gradients(float* filter, int64_t filter_plane, bool begun, int64_t row,
                          const LiveList& live, const float* HWY_RESTRICT plane,
                          int64_t plane_size) {
  using P = Part<kRows, kVectors>;
  constexpr auto kParts = typename P::Indices();
  V sum[P::kSize], other[P::kSize];
  zero(sum, kParts);
  zero(other, kParts);
  if (begun) {
    load_filter<P>(sum, filter, kParts);
    load_filter<P>(other, filter + filter_plane, kParts);
  }
  for (int64_t i = 0; i < live.count; ++i) {
    const V gradient = live.gradient(i);
    const float* patch = plane + live.corners[i];
    add_patch<P>(sum, patch, row, gradient, kParts);
    add_patch<P>(other, patch + plane_size, row, gradient, kParts);
  }
  store_filter<P>(sum, filter, kParts);
  store_filter<P>(other, filter + filter_plane, kParts);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

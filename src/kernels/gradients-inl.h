// The two runs over a channel's live outputs: one keeps that channel's weight gradient in
// registers, the other its weights. Included once an instruction set.
#if defined(CIFAR_KERNELS_GRADIENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_GRADIENTS_INL_H_
#undef CIFAR_KERNELS_GRADIENTS_INL_H_
#else
#define CIFAR_KERNELS_GRADIENTS_INL_H_
#endif

#include <utility>

#include "kernels/live_outputs.h"
#include "kernels/tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// A part of one filter that fits into registers: kRows rows of kVectors vectors each.
struct Part {
  float* filter;       // where the part begins
  int64_t filter_row;  // floats from row to row of the filter
  int64_t offset;      // where the part begins in a patch
  int64_t image_row;   // floats from row to row of the image
};

constexpr int kMaxVectors = kManyRegisters ? 18 : 12;

template <int kVectors>
HWY_INLINE int64_t place_of(size_t i, int64_t row) {
  return static_cast<int64_t>(i) / kVectors * row +
         static_cast<int64_t>(i) % kVectors * static_cast<int64_t>(hn::Lanes(D()));
}

template <int kVectors, size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void add_patch(V (&sum)[kCount], const float* HWY_RESTRICT patch, int64_t row,
                          V gradient, std::index_sequence<kPart...>) {
  const D d;
  ((sum[kPart] =
        hn::MulAdd(gradient, hn::LoadU(d, patch + place_of<kVectors>(kPart, row)), sum[kPart])),
   ...);
}

template <int kVectors, size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void load_part(V (&to)[kCount], const float* from, int64_t row,
                          std::index_sequence<kPart...>) {
  ((to[kPart] = hn::LoadU(D(), from + place_of<kVectors>(kPart, row))), ...);
}

template <int kVectors, size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void store_part(const V (&from)[kCount], float* to, int64_t row,
                           std::index_sequence<kPart...>) {
  (hn::StoreU(from[kPart], D(), to + place_of<kVectors>(kPart, row)), ...);
}

template <size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void zero(V (&sum)[kCount], std::index_sequence<kPart...>) {
  ((sum[kPart] = hn::Zero(D())), ...);
}

template <size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void add_to(V (&sum)[kCount], const V (&other)[kCount], std::index_sequence<kPart...>) {
  ((sum[kPart] = hn::Add(sum[kPart], other[kPart])), ...);
}

// filter += sum over live outputs of gradient * patch. A second set of sums takes every other
// output where kChains is 2, since few sums would wait for one another.
template <int kRows, int kVectors, int kChains>
void add_weight_gradient(const Part& part, const LiveOutput* live, int64_t count,
                         const float* HWY_RESTRICT image) {
  constexpr auto kParts = std::make_index_sequence<kRows * kVectors>();
  const D d;
  const int64_t row = part.image_row;
  image += part.offset;
  V sum[kRows * kVectors];
  load_part<kVectors>(sum, part.filter, part.filter_row, kParts);
  int64_t i = 0;
  if constexpr (kChains == 2) {
    V other[kRows * kVectors];
    zero(other, kParts);
    for (; i + 1 < count; i += 2) {
      add_patch<kVectors>(sum, image + live[i].corner, row, hn::Set(d, live[i].gradient), kParts);
      add_patch<kVectors>(other, image + live[i + 1].corner, row, hn::Set(d, live[i + 1].gradient),
                          kParts);
    }
    add_to(sum, other, kParts);
  }
  for (; i < count; ++i) {
    add_patch<kVectors>(sum, image + live[i].corner, row, hn::Set(d, live[i].gradient), kParts);
  }
  store_part<kVectors>(sum, part.filter, part.filter_row, kParts);
}

template <int kVectors, size_t... kPart, size_t kCount = sizeof...(kPart)>
HWY_INLINE void add_filter(const V (&weights)[kCount], float* HWY_RESTRICT patch, int64_t row,
                           V gradient, std::index_sequence<kPart...>) {
  const D d;
  (hn::StoreU(
       hn::MulAdd(gradient, weights[kPart], hn::LoadU(d, patch + place_of<kVectors>(kPart, row))),
       d, patch + place_of<kVectors>(kPart, row)),
   ...);
}

// patch += gradient * filter, for each live output.
template <int kRows, int kVectors>
void add_input_gradient(const Part& part, const LiveOutput* live, int64_t count,
                        float* HWY_RESTRICT image) {
  constexpr auto kParts = std::make_index_sequence<kRows * kVectors>();
  V weights[kRows * kVectors];
  load_part<kVectors>(weights, part.filter, part.filter_row, kParts);
  image += part.offset;
  for (int64_t i = 0; i < count; ++i) {
    add_filter<kVectors>(weights, image + live[i].corner, part.image_row,
                         hn::Set(D(), live[i].gradient), kParts);
  }
}

// --- Which part sizes there are, and the choice among them at run time.

using WeightRun = void (*)(const Part&, const LiveOutput*, int64_t, const float*);
using InputRun = void (*)(const Part&, const LiveOutput*, int64_t, float*);

struct Runs {
  WeightRun weights = nullptr;
  InputRun input = nullptr;
};

template <int kRows, int kChains, size_t... kLess>
Runs find_runs(int64_t vectors, std::index_sequence<kLess...>) {
  Runs runs;
  ((vectors == kLess + 1 ? void(runs = {add_weight_gradient<kRows, kLess + 1, kChains>,
                                        add_input_gradient<kRows, kLess + 1>})
                         : void()),
   ...);
  return runs;
}

template <int kRows, int kChains>
Runs find_runs(int64_t vectors) {
  return find_runs<kRows, kChains>(vectors,
                                   std::make_index_sequence<kMaxVectors / (kRows * kChains)>());
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

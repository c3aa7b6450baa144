// The sizes of filter parts that are compiled, and the choice among them at run time. Included once
// an instruction set.
#if defined(CIFAR_KERNELS_RUNS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_RUNS_INL_H_
#undef CIFAR_KERNELS_RUNS_INL_H_
#else
#define CIFAR_KERNELS_RUNS_INL_H_
#endif

#include "kernels/input_gradient-inl.h"
#include "kernels/weight_gradient-inl.h"
#include "kernels/window_weights-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

struct Runs {
  int64_t rows;  // of the filter at once: all of them, or one
  int chains;    // of sums in turn; with several, the order of the sum is by image
  decltype(&add_weight_gradient<1, 1, 1>) weights;
  decltype(&add_input_gradient<1, 1>) input;
};

template <int kKernel, int kVectors, int kChains>
Runs runs_of_size() {
  constexpr int kRows = kKernel == 5 ? 1 : kKernel;  // 25 vectors are more than 16 registers hold
  return {kRows, kChains, add_weight_gradient<kRows, kVectors, kChains>,
          add_input_gradient<kRows, kVectors>};
}

template <int kKernel, int kChains, size_t... kLess>
Runs runs_of_kernel(int64_t vectors, std::index_sequence<kLess...>) {
  Runs runs{};
  ((vectors == kLess + 1 ? void(runs = runs_of_size<kKernel, kLess + 1, kChains>()) : void()), ...);
  return runs;
}

template <int kKernel>
Runs runs_of_kernel(int64_t vectors, bool two_chains) {
  constexpr auto kSizes = std::make_index_sequence<kKernel>();
  return two_chains ? runs_of_kernel<kKernel, 2>(vectors, kSizes)
                    : runs_of_kernel<kKernel, 1>(vectors, kSizes);
}

// The number of chains depends on the shape alone, since it changes the order of the sum.
inline Runs find_runs(const ConvBlock& block, const Layout& layout) {
  const bool two_chains = block.patch_row() <= 16 && !WindowWeights::fits(block);
  if (block.kernel == 5) return runs_of_kernel<5>(layout.vectors, two_chains);
  if (block.kernel == 3) return runs_of_kernel<3>(layout.vectors, two_chains);
  return runs_of_kernel<1>(layout.vectors, two_chains);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

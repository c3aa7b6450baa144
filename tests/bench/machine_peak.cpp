#include "bench/machine_peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>
#include <vector>

#define HWY_TARGET_INCLUDE "bench/machine_peak.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
constexpr size_t kChains = 12;  // enough to keep two units of latency 4 or 5 busy
using Chains = std::make_index_sequence<kChains>;

template <size_t... kChain>
HWY_INLINE float run_chains(int64_t rounds, const float* values, std::index_sequence<kChain...>) {
  const D d;
  const auto factor = hn::Set(d, values[0]), term = hn::Set(d, values[1]);
  // Different from one another, or the compiler computes one for all.
  hn::Vec<D> sum[kChains] = {hn::Set(d, values[1] + static_cast<float>(kChain))...};
  for (int64_t i = 0; i < rounds; ++i) {
    ((sum[kChain] = hn::MulAdd(sum[kChain], factor, term)), ...);
  }
  return hn::GetLane((hn::Zero(d) + ... + sum[kChain]));
}

// Returns how many operations it did; `sink` keeps them from being optimised away.
double multiply_add(int64_t rounds, const float* values, float* sink) {
  *sink = run_chains(rounds, values, Chains());
  return 2.0 * static_cast<double>(rounds) * kChains * static_cast<double>(hn::Lanes(D()));
}

float add_up(const float* values, int64_t count) {
  const D d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  auto a = hn::Zero(d), b = hn::Zero(d);
  for (int64_t i = 0; i + 2 * lanes <= count; i += 2 * lanes) {
    a = hn::Add(a, hn::LoadU(d, values + i));
    b = hn::Add(b, hn::LoadU(d, values + i + lanes));
  }
  return hn::GetLane(hn::Add(a, b));
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(multiply_add);
HWY_EXPORT(add_up);

namespace {

// The best rate of `runs` calls of `work`, which returns how much it did.
template <class Work>
double best_rate(int runs, const Work& work) {
  double best = 0;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const double done = work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, done / seconds.count());
  }
  return best;
}

}  // namespace

double fma_peak() {
  volatile float given[2] = {0.999f, 0.001f};
  const float values[2] = {given[0], given[1]};
  float sink = 0;
  return 1e-9 *
         best_rate(50, [&] { return HWY_DYNAMIC_DISPATCH(multiply_add)(200000, values, &sink); });
}

double read_bandwidth() {
  const std::vector<float> values(64 << 20, 1.0f);
  volatile float sink = 0;
  return 1e-9 * best_rate(5, [&] {
           sink = HWY_DYNAMIC_DISPATCH(add_up)(values.data(), static_cast<int64_t>(values.size()));
           return static_cast<double>(values.size() * sizeof(float));
         });
}

}  // namespace cifar
#endif

// Running the kernels on each instruction set of this machine, and comparing the results.
#pragma once

#include <hwy/targets.h>

#include <cstring>
#include <vector>

namespace cifar {

// Calls `body` with each of this machine's instruction sets that the kernels are compiled for.
template <class Body>
void on_each_instruction_set(const Body& body) {
  for (const int64_t target : {int64_t{HWY_AVX3}, int64_t{HWY_AVX2}}) {
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    body();
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace cifar

// Running the kernels on each instruction set of this machine, and comparing the results.
#pragma once

#include "kernels/targets.h"
// After targets.h:
#include <hwy/targets.h>

#include <cstring>
#include <vector>

namespace cifar {

template <class Body>
void on_instruction_set(int64_t target, const Body& body) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  body();
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Calls `body` with each of this machine's instruction sets that have vectors and fused
// multiply-add: on all of them the kernels give the same bits.
template <class Body>
void on_each_vector_set(const Body& body) {
  for (const int64_t target : {int64_t{HWY_AVX3}, int64_t{HWY_AVX2}}) {
    if ((hwy::SupportedTargets() & target) != 0) on_instruction_set(target, body);
  }
}

// Also with what there is on machines that have neither: plain loops.
template <class Body>
void on_each_instruction_set(const Body& body) {
  on_each_vector_set(body);
  on_instruction_set(HWY_STATIC_TARGET, body);
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace cifar

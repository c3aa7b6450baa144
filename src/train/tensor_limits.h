// What a tensor out of a file may claim, whatever the file's format.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cifar {

constexpr size_t kMostDimensions = 16;
constexpr size_t kMostTensors = size_t{1} << 16;

// Whether LibTorch can compute strides of these sizes, none negative. Where one is 0 there are no
// numbers, whose bytes would bound the others.
inline bool has_strides(const std::vector<int64_t>& sizes) {
  constexpr double kMost = 1e18;
  double product = 1;
  for (const int64_t size : sizes) product *= static_cast<double>(std::max<int64_t>(size, 1));
  return product < kMost;
}

}  // namespace cifar

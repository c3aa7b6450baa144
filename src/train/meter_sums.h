// An epoch's running sums as the meter keeps them where the training is, and what a step adds to
// them. Both the CPU loop and the CUDA kernel call these functions.
#pragma once

#include <cfloat>
#include <cmath>
#include <limits>

#include "base/host_device.h"

namespace cifar {

struct MeterSums {
  double loss = 0;  // mean of a step times its samples
  double correct = 0;
  double stops = 0, checkpoints = 0;  // ranks that asked for them
  // The first step with a number that was not finite. As atomicMin() takes it.
  long long first_bad = std::numeric_limits<long long>::max();
};

// metrics: FlatState::metrics().
CIFAR_HOST_DEVICE inline void add_metrics(const float* metrics, double samples, MeterSums& sums) {
  sums.loss += metrics[0] * samples;
  sums.correct += metrics[1];
  sums.stops += metrics[2];
  sums.checkpoints += metrics[3];
}

CIFAR_HOST_DEVICE inline bool is_finite(float value) {
  return fabsf(value) <= FLT_MAX;
}

}  // namespace cifar

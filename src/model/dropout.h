// Dropout whose mask is a pure function of (seed, epoch, layer, sample, element): the same sample
// loses the same elements on any rank, in any batch, before and after a resume.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/random.h"
#include "base/step_values.h"

namespace cifar {

struct DropoutKey {
  uint64_t seed;
  uint32_t epoch_and_layer;  // epoch * 256 + layer
  float probability;
};

CIFAR_HOST_DEVICE inline DropoutKey dropout_key(const StepValues& now, uint32_t layer,
                                                float probability) {
  return {now.seed, static_cast<uint32_t>(now.epoch) * 256 + layer, probability};
}

// The factors of elements 4 * quad ... 4 * quad + 3 of one sample: 0, or 1 / (1 - probability).
CIFAR_HOST_DEVICE inline void dropout_factors(const DropoutKey& key, uint32_t sample, uint32_t quad,
                                              float factor[4]) {
  const Random4 random = draw(key.seed, Purpose::kDropout, key.epoch_and_layer, sample, quad);
  for (int i = 0; i < 4; ++i) {
    factor[i] =
        unit_float(random.word[i]) < key.probability ? 0.0f : 1.0f / (1.0f - key.probability);
  }
}

}  // namespace cifar

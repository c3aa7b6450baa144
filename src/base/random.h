// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random
// numbers: as easy as 1, 2, 3" (SC 2011). A draw is a pure function of (seed, purpose, counter), so
// that it depends neither on ranks and threads nor on what was drawn before.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace cifar {

// Keeps the draws of different uses apart. The values are part of the file format: never renumber.
enum class Purpose : uint32_t {
  kSplit = 1,      // counter: position
  kShuffle = 2,    // counter: (epoch, position)
  kAugment = 3,    // counter: (epoch, image index, 0: placement, 1: cutout and jitter)
  kDropout = 4,    // counter: (epoch and layer, image index, element / 4)
  kSynthetic = 5,  // counter: (image index, block of 16 bytes)
};

struct Random4 {
  uint32_t word[4];
};

CIFAR_HOST_DEVICE inline Random4 philox4x32(Random4 counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter.word[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// Four words for (seed, purpose, a, b, c); a, b and c are the use's own counter.
CIFAR_HOST_DEVICE inline Random4 draw(uint64_t seed, Purpose purpose, uint32_t a, uint32_t b = 0,
                                      uint32_t c = 0) {
  return philox4x32({{a, b, c, static_cast<uint32_t>(purpose)}}, static_cast<uint32_t>(seed),
                    static_cast<uint32_t>(seed >> 32));
}

// Uniform in [0, bound) by the high half of a product; the bias is below bound / 2^32.
CIFAR_HOST_DEVICE inline uint32_t below(uint32_t word, uint32_t bound) {
  return static_cast<uint32_t>((uint64_t{word} * bound) >> 32);
}

// Uniform in [0, 1), a multiple of 2^-24.
CIFAR_HOST_DEVICE inline float unit_float(uint32_t word) {
  return static_cast<float>(word >> 8) * (1.0f / 16777216.0f);
}

}  // namespace cifar

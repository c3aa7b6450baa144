// What pack_weights() makes: the weights as forward reads them, then, as backward does, filters in
// planes.
#pragma once

#include "kernels/conv_block.h"
#include "kernels/padded_image.h"

namespace cifar {

// In floats; for the widest block_channels() of any instruction set.
inline int64_t forward_weights_size(const ConvBlock& block) {
  constexpr int64_t kWidest = 32;
  const int64_t taps = uses_winograd(block) ? 16 : block.kernel * block.kernel;
  return round_up(block.out_channels, kWidest) * taps * block.in_channels;
}

}  // namespace cifar

// What pack_weights() makes: the weights as forward reads them, then, as backward does, filters in
// planes.
#pragma once

#include "kernels/conv_block.h"
#include "kernels/padded_image.h"

namespace cifar {

constexpr int64_t kWinogradProducts = 24;  // an input channel for 2x4 outputs, see winograd-inl.h

// Rows of block_channels() weights in a product: one an input channel and one that is never read,
// which keeps the products from lying in the same few sets of the cache.
inline int64_t winograd_rows(const ConvBlock& block) {
  return block.in_channels + 1;
}

// In floats; for the widest block_channels() of any instruction set.
inline int64_t forward_weights_size(const ConvBlock& block) {
  constexpr int64_t kWidest = 32;
  const int64_t out = round_up(block.out_channels, kWidest);
  if (uses_winograd(block)) return out * kWinogradProducts * winograd_rows(block);
  return out * block.kernel * block.kernel * block.in_channels;
}

}  // namespace cifar

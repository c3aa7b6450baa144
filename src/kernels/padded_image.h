// An image with a border of zeros, so that no inner loop asks where the image ends. Vector loads
// may run past the last pixel by kSlack floats.
#pragma once

#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cstring>

#include "kernels/conv_block.h"

namespace cifar {

using Floats = hwy::AlignedFreeUniquePtr<float[]>;

constexpr int64_t kSlack = 64;
constexpr int64_t kCacheLine = 16;  // in floats; also the widest vector

inline int64_t round_up(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// Floats from one row to the next, at least so many: rarely a multiple of 4096 bytes, which would
// put all rows into the same sets of the cache.
inline int64_t staggered_row(int64_t floats) {
  return round_up(floats, kCacheLine) + kCacheLine;
}

// What nothing reads before it is written, or only for results that nobody reads: with NaN in it
// all tests of the kernels passed.
inline Floats make_scratch(int64_t count) {
  return hwy::AllocateAligned<float>(static_cast<size_t>(count + kSlack));
}

// Zeros.
inline Floats make_floats(int64_t count) {
  Floats floats = make_scratch(count);
  std::fill_n(floats.get(), count + kSlack, 0.0f);
  return floats;
}

class PaddedImage {
 public:
  // Wide and high enough for outputs rounded up to whole tiles.
  PaddedImage(const ConvBlock& block, int64_t tile_height, int64_t tile_width)
      : block_(block),
        height_(extent(block.height, block.conv_height(), tile_height)),
        width_(extent(block.width, block.conv_width(), tile_width)),
        pixels_(make_floats(height_ * row())) {}

  // Floats from one row to the next.
  int64_t row() const { return width_ * block_.in_channels; }
  const float* data() const { return pixels_.get(); }

  void load(const float* image) {
    for (int64_t y = 0; y < block_.height; ++y) {
      std::memcpy(inner(y), image + y * inner_row(), sizeof(float) * inner_row());
    }
  }

 private:
  int64_t extent(int64_t input, int64_t outputs, int64_t tile) const {
    const int64_t last = round_up(outputs, tile) - 1;
    return std::max(input + 2 * block_.padding, last * block_.stride + block_.kernel);
  }
  int64_t inner_row() const { return block_.width * block_.in_channels; }
  float* inner(int64_t y) {
    return pixels_.get() + (y + block_.padding) * row() + block_.padding * block_.in_channels;
  }

  ConvBlock block_;
  int64_t height_, width_;
  Floats pixels_;
};

}  // namespace cifar

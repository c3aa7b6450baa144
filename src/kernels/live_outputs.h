// The outputs of one image that receive gradient, listed by output channel: all that the backward
// pass looks at.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/conv_block.h"

namespace cifar {

// `corner`: where the output's patch begins in the padded input, in floats.
struct LiveOutput {
  int32_t corner;
  float gradient;
};

class LiveOutputs {
 public:
  // `row`: floats from one row of the padded input to the next.
  LiveOutputs(const ConvBlock& block, int64_t row, int64_t max_rows)
      : block_(block),
        window_(block.pool_stride * block.stride * block.in_channels),
        window_row_(block.pool_stride * block.stride * row),
        capacity_(max_rows * block.out_width()),
        lists_(new LiveOutput[static_cast<size_t>(capacity_ * block.out_channels)]),
        counts_(new int64_t[static_cast<size_t>(block.out_channels)]) {
    for (int64_t tap = 0; tap < block.pool * block.pool; ++tap) {
      taps_[tap] = static_cast<int32_t>(tap / block.pool * block.stride * row +
                                        tap % block.pool * block.stride * block.in_channels);
    }
  }

  // Lists rows [first, end) of the block's output.
  void collect(const uint8_t* winners, const float* gradients, int64_t first, int64_t end) {
    for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
      LiveOutput* const begin = lists_.get() + channel * capacity_;
      LiveOutput* next = begin;
      int64_t place = first * block_.out_width() * block_.out_channels + channel;
      for (int64_t y = first; y < end; ++y) {
        int32_t corner = static_cast<int32_t>(y * window_row_);
        for (int64_t x = 0; x < block_.out_width(); ++x) {
          const uint8_t winner = winners[place];
          *next = {corner + taps_[winner], gradients[place]};
          next += winner != kNoWinner;  // no branch: it would go wrong half of the time
          corner += static_cast<int32_t>(window_);
          place += block_.out_channels;
        }
      }
      counts_[channel] = next - begin;
    }
  }

  const LiveOutput* list(int64_t channel) const { return lists_.get() + channel * capacity_; }
  int64_t count(int64_t channel) const { return counts_[channel]; }

 private:
  const ConvBlock& block_;
  int64_t window_, window_row_, capacity_;
  int32_t taps_[256] = {};
  std::unique_ptr<LiveOutput[]> lists_;
  std::unique_ptr<int64_t[]> counts_;
};

}  // namespace cifar

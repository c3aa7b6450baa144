// The blocks of kernels/ by plain loops in double precision, and random blocks to compare on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/conv_block.h"

namespace cifar {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct BlockResult {
  Doubles output, input_gradient, weight_gradient, bias_gradient;
  std::vector<uint8_t> winners;
};

// One image. Sums run over the taps that lie inside the image.
class BlockReference {
 public:
  BlockReference(const ConvBlock& block, const float* input, const float* weights,
                 const float* bias)
      : block_(block), input_(input), weights_(weights), bias_(bias) {}

  void forward(BlockResult& result) const {
    for_each_output([&](int64_t y, int64_t x, int64_t out) {
      double best = 0;
      int64_t winner = 0;
      for (int64_t tap = 0; tap < block_.pool * block_.pool; ++tap) {
        const double value = convolve(y, x, tap, out);
        if (tap > 0 && !(value > best) && !std::isnan(value)) continue;
        best = value;
        winner = tap;
      }
      if (block_.relu && best <= 0) {
        best = 0;
        winner = kNoWinner;
      }
      result.output.push_back(best);
      result.winners.push_back(static_cast<uint8_t>(winner));
    });
  }

  // Adds to the weight and bias gradients.
  void backward(const uint8_t* winners, const float* gradients, BlockResult& result) const {
    result.input_gradient.assign(static_cast<size_t>(block_.input_size()), 0);
    result.weight_gradient.resize(static_cast<size_t>(block_.weight_size()));
    result.bias_gradient.resize(static_cast<size_t>(block_.out_channels));
    int64_t i = 0;
    for_each_output([&](int64_t y, int64_t x, int64_t out) {
      const uint8_t winner = winners[i];
      const double gradient = gradients[i++];
      if (winner == kNoWinner) return;
      result.bias_gradient[out] += gradient;
      for_each_product(y, x, winner, out, [&](int64_t in, int64_t weight) {
        result.weight_gradient[weight] += gradient * input_[in];
        result.input_gradient[in] += gradient * weights_[weight];
      });
    });
  }

 private:
  template <class Visit>
  void for_each_output(const Visit& visit) const {
    for (int64_t y = 0; y < block_.out_height(); ++y) {
      for (int64_t x = 0; x < block_.out_width(); ++x) {
        for (int64_t out = 0; out < block_.out_channels; ++out) visit(y, x, out);
      }
    }
  }

  // visit(place of the input value, place of the weight) for output (y, x), pixel `tap` of its
  // window.
  template <class Visit>
  void for_each_product(int64_t y, int64_t x, int64_t tap, int64_t out, const Visit& visit) const {
    const ConvBlock& b = block_;
    const int64_t top = (y * b.pool_stride + tap / b.pool) * b.stride - b.padding;
    const int64_t left = (x * b.pool_stride + tap % b.pool) * b.stride - b.padding;
    for (int64_t ky = 0; ky < b.kernel; ++ky) {
      for (int64_t kx = 0; kx < b.kernel; ++kx) {
        const int64_t row = top + ky, column = left + kx;
        if (row < 0 || row >= b.height || column < 0 || column >= b.width) continue;
        for (int64_t c = 0; c < b.in_channels; ++c) {
          visit((row * b.width + column) * b.in_channels + c,
                ((out * b.kernel + ky) * b.kernel + kx) * b.in_channels + c);
        }
      }
    }
  }

  double convolve(int64_t y, int64_t x, int64_t tap, int64_t out) const {
    double sum = bias_ == nullptr ? 0 : bias_[out];
    for_each_product(y, x, tap, out, [&](int64_t in, int64_t weight) {
      sum += static_cast<double>(input_[in]) * weights_[weight];
    });
    return sum;
  }

  const ConvBlock& block_;
  const float *input_, *weights_, *bias_;
};

inline std::string describe(const ConvBlock& b) {
  const auto n = [](int64_t number) { return std::to_string(number); };
  return n(b.in_channels) + "x" + n(b.height) + "x" + n(b.width) + ", conv " + n(b.out_channels) +
         " kernel " + n(b.kernel) + " stride " + n(b.stride) + " padding " + n(b.padding) +
         ", pool " + n(b.pool) + " stride " + n(b.pool_stride) + (b.relu ? ", relu" : "");
}

// Blocks of all kinds that are supported, with channels around whole and part vectors.
class RandomBlocks {
 public:
  ConvBlock next() {
    ConvBlock block;
    do {
      const int64_t kernel = pick({1, 3, 3, 3, 5});
      const int64_t pool = pick({1, 2, 2, 2, 3, 3});
      block = {pick({1, 2, 3, 5, 8, 15, 16, 17, 32, 33, 40}),
               1 + any(13),
               1 + any(13),
               pick({1, 3, 8, 16, 17, 32, 33, 40, 64, 100}),
               kernel,
               pick({1, 1, 1, 2, 3}),
               any((kernel - 1) / 2 + 1),
               pool,
               pool == 3 ? pick({2, 3}) : pool,
               any(2) == 0};
    } while (!can_compute(block));
    return block;
  }

  Floats values(int64_t count, double scale = 1) {
    std::normal_distribution<double> distribution(0, scale);
    Floats result(static_cast<size_t>(count));
    for (float& value : result) value = static_cast<float>(distribution(generator_));
    return result;
  }

  int64_t any(int64_t end) { return static_cast<int64_t>(generator_() % end); }

 private:
  int64_t pick(std::initializer_list<int64_t> choices) {
    return *(choices.begin() + any(static_cast<int64_t>(choices.size())));
  }

  std::mt19937 generator_{7};
};

}  // namespace cifar

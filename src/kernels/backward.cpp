#include <algorithm>
#include <vector>

#include "kernels/conv_block.h"
#include "kernels/filters.h"
#include "kernels/live_outputs.h"
#include "kernels/padded_image.h"

#define HWY_TARGET_INCLUDE "kernels/backward.cpp"
#include "kernels/targets.h"
// After targets.h:
#include <hwy/foreach_target.h>

#include "kernels/gradients-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// How a filter is cut into parts: all of its rows at once, or row by row in pieces. Rows so short
// that their sums would wait for one another take two sets of sums; that depends on the shape
// alone, since it changes the order of the sum.
class Parts {
 public:
  explicit Parts(const ConvBlock& block) : kernel_(block.kernel) {
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    const int64_t vectors = (block.patch_row() + lanes - 1) / lanes;
    const bool two_chains = block.patch_row() <= Filters::kWidest;
    whole_ = kernel_ * vectors * (two_chains ? 2 : 1) <= kMaxVectors;
    const int64_t pieces = (vectors + kMaxVectors - 1) / kMaxVectors;
    const int64_t size = (vectors + pieces - 1) / pieces;
    for (int64_t first = 0; first < vectors; first += size) {
      const int64_t count = std::min(size, vectors - first);
      pieces_.push_back({first * lanes, runs(count, two_chains)});
    }
  }

  // For each part: visit(offset in the row, ky, the functions for its size).
  template <class Visit>
  HWY_INLINE void for_each(const Visit& visit) const {
    for (int64_t ky = 0; ky < (whole_ ? 1 : kernel_); ++ky) {
      for (const Piece& piece : pieces_) visit(piece.offset, ky, piece.runs);
    }
  }

 private:
  struct Piece {
    int64_t offset;
    Runs runs;
  };

  Runs runs(int64_t vectors, bool two_chains) const {
    const int64_t rows = whole_ ? kernel_ : 1;
    if (rows == 5) return two_chains ? find_runs<5, 2>(vectors) : find_runs<5, 1>(vectors);
    if (rows == 3) return two_chains ? find_runs<3, 2>(vectors) : find_runs<3, 1>(vectors);
    return two_chains ? find_runs<1, 2>(vectors) : find_runs<1, 1>(vectors);
  }

  int64_t kernel_;
  bool whole_;
  std::vector<Piece> pieces_;
};

// Adds up gradients where outputs are live, channel by channel, windows in order.
void add_bias_gradients(const ConvBlock& block, const uint8_t* winners, const float* gradients,
                        float* sums) {
  const D d;
  const hn::RebindToSigned<D> di;
  const hn::Rebind<uint8_t, D> d8;
  const int64_t channels = block.out_channels, lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t end = block.output_size();
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) {
    V sum = hn::LoadU(d, sums + c);
    for (int64_t i = c; i < end; i += channels) {
      const auto winner = hn::PromoteTo(di, hn::LoadU(d8, winners + i));
      const auto live = hn::RebindMask(d, hn::Lt(winner, hn::Set(di, kNoWinner)));
      sum = hn::Add(sum, hn::IfThenElseZero(live, hn::LoadU(d, gradients + i)));
    }
    hn::StoreU(sum, d, sums + c);
  }
  for (; c < channels; ++c) {
    for (int64_t i = c; i < end; i += channels) {
      sums[c] += winners[i] == kNoWinner ? 0.0f : gradients[i];
    }
  }
}

class Backward {
 public:
  explicit Backward(const ConvBlock& block, bool needs_input_gradient)
      : block_(block),
        parts_(block),
        image_(block, 1, 1),
        input_gradient_(block, 1, 1),
        rows_at_once_(rows_that_fit(block, image_.row())),
        live_(block, image_.row(), rows_at_once_),
        needs_input_gradient_(needs_input_gradient) {}

  // `weights` and `weight_gradients` in the layout of Filters, `filter_row` floats a row.
  void run(const float* input, const uint8_t* winners, const float* gradients, int64_t filter_row,
           float* weights, float* weight_gradients, float* input_gradients) {
    filter_row_ = filter_row;
    image_.load(input);
    if (needs_input_gradient_) input_gradient_.clear();
    for (int64_t first = 0; first < block_.out_height(); first += rows_at_once_) {
      const int64_t end = std::min(first + rows_at_once_, block_.out_height());
      live_.collect(winners, gradients, first, end);
      run_weights(weight_gradients);
      if (needs_input_gradient_) run_input(weights);
    }
    if (needs_input_gradient_) input_gradient_.store(input_gradients);
  }

 private:
  // So many rows of outputs that the part of the input they see stays in the first-level cache.
  static int64_t rows_that_fit(const ConvBlock& block, int64_t row) {
    constexpr int64_t kCacheFloats = 26 * 1024 / 4;
    const int64_t overlap = block.kernel + (block.pool - 1) * block.stride;
    const int64_t step = block.pool_stride * block.stride;
    const int64_t rows = (kCacheFloats / row - overlap) / step + 1;
    return std::clamp<int64_t>(rows, 1, block.out_height());
  }

  void run_weights(float* gradients) {
    for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
      parts_.for_each([&](int64_t offset, int64_t ky, const Runs& runs) {
        runs.weights(part(gradients, channel, offset, ky), live_.list(channel),
                     live_.count(channel), image_.data());
      });
    }
  }

  void run_input(float* weights) {
    for (int64_t channel = 0; channel < block_.out_channels; ++channel) {
      parts_.for_each([&](int64_t offset, int64_t ky, const Runs& runs) {
        runs.input(part(weights, channel, offset, ky), live_.list(channel), live_.count(channel),
                   input_gradient_.data());
      });
    }
  }

  Part part(float* filters, int64_t channel, int64_t offset, int64_t ky) const {
    float* filter = filters + (channel * block_.kernel + ky) * filter_row_ + offset;
    return {filter, filter_row_, ky * image_.row() + offset, image_.row()};
  }

  const ConvBlock& block_;
  Parts parts_;
  PaddedImage image_, input_gradient_;
  int64_t rows_at_once_, filter_row_ = 0;
  LiveOutputs live_;
  bool needs_input_gradient_;
};

void backward(const ConvBlock& block, int64_t images, const float* input, const float* weights,
              const uint8_t* winners, const float* output_gradients, float* weight_gradients,
              float* bias_gradients, float* input_gradients) {
  Backward method(block, input_gradients != nullptr);
  Filters filters(block), gradients(block);
  float* const open_weights = filters.open(const_cast<float*>(weights));  // only read
  float* const open_gradients = gradients.open(weight_gradients);
  for (int64_t i = 0; i < images; ++i) {
    const int64_t in = i * block.input_size(), out = i * block.output_size();
    method.run(input + in, winners + out, output_gradients + out, filters.row(), open_weights,
               open_gradients, input_gradients == nullptr ? nullptr : input_gradients + in);
    if (bias_gradients != nullptr) {
      add_bias_gradients(block, winners + out, output_gradients + out, bias_gradients);
    }
  }
  gradients.close(weight_gradients);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cifar {

HWY_EXPORT(backward);

void conv_block_backward(const ConvBlock& block, int64_t images, const float* input,
                         const float* weights, const uint8_t* winners,
                         const float* output_gradients, float* weight_gradients,
                         float* bias_gradients, float* input_gradients) {
  HWY_DYNAMIC_DISPATCH(backward)
  (block, images, input, weights, winners, output_gradients, weight_gradients, bias_gradients,
   input_gradients);
}

}  // namespace cifar
#endif

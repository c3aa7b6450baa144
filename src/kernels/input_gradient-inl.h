// The input gradient, in two ways. add_input_gradient runs over one channel's live outputs with its
// filter in registers and takes any shape. WindowGradient runs over the pooling windows with the
// gradient of the window's whole 4x4 patch in registers: it reads and writes the image once a
// window and 64 channels instead of once a live output. Included once an instruction set.
#if defined(CIFAR_KERNELS_INPUT_GRADIENT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_INPUT_GRADIENT_INL_H_
#undef CIFAR_KERNELS_INPUT_GRADIENT_INL_H_
#else
#define CIFAR_KERNELS_INPUT_GRADIENT_INL_H_
#endif

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/live_outputs-inl.h"
#include "kernels/part-inl.h"
#include "kernels/planes-inl.h"
#include "kernels/sort_by_winner-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

template <class P, size_t... kPart>
HWY_INLINE void add_filter(const V (&weights)[P::kSize], float* HWY_RESTRICT patch, int64_t row,
                           V gradient, std::index_sequence<kPart...>) {
  const D d;
  (hn::StoreU(hn::MulAdd(gradient, weights[kPart], hn::LoadU(d, patch + P::place(kPart, row))), d,
              patch + P::place(kPart, row)),
   ...);
}

// patch += gradient * filter, for each live output.
template <int kRows, int kVectors>
void add_input_gradient(const float* filter, int64_t row, const LiveList& live,
                        float* HWY_RESTRICT plane) {
  using P = Part<kRows, kVectors>;
  constexpr auto kParts = typename P::Indices();
  V weights[P::kSize];
  load_filter<P>(weights, filter, kParts);
  for (int64_t i = 0; i < live.count; ++i) {
    add_filter<P>(weights, plane + live.corners[i], row, live.gradient(i), kParts);
  }
}

// For 3x3 convolutions with stride 1 before max-pool 2.
class WindowGradient {
 public:
  // The rule says nothing of vectors, since the order of the sum depends on it.
  static bool takes(const ConvBlock& block) {
    return block.kernel == 3 && block.stride == 1 && block.pool == 2 && block.pool_stride == 2 &&
           block.in_channels >= 16;
  }

  WindowGradient(const ConvBlock& block, const Layout& layout)
      : block_(block),
        layout_(layout),
        windows_(block.out_height() * block.out_width()),
        blocks_((block.out_channels + kBlock - 1) / kBlock),
        channels_(new uint8_t[static_cast<size_t>(block.output_size() + kBlock)]),
        counts_(new uint8_t[static_cast<size_t>(blocks_ * windows_ * 4)]),
        begin_(static_cast<size_t>(blocks_)) {}

  // Sorts each window's live channels, 64 channels at a time, by the pixel that won. run()
  // looks the gradients up, which must stay until then.
  void load(const uint8_t* winners, const float* gradients) {
    gradients_ = gradients;
    int64_t next = 0;
    uint8_t* count = counts_.get();
    for (int64_t first = 0; first < block_.out_channels; first += kBlock) {
      begin_[first / kBlock] = next;
      const int64_t channels = std::min(kBlock, block_.out_channels - first);
      for (int64_t window = 0; window < windows_; ++window, count += 4) {
        next += sort_by_winner(winners + window * block_.out_channels + first, channels,
                               channels_.get() + next, count);
      }
    }
  }

  // Of channels.
  int64_t blocks() const { return blocks_; }

  // What the channels of a block add. `filters`: of the plane that `plane` is the gradient of.
  void run(int64_t index, const float* filters, float* plane) const {
    const uint8_t* count = counts_.get() + index * windows_ * 4;
    const uint8_t* channels = channels_.get() + begin_[index];
    const float* gradients = gradients_ + index * kBlock;
    filters += index * kBlock * kFilter;
    const int64_t height = block_.out_height(), width = block_.out_width();
    const int64_t row = layout_.row, window = 2 * layout_.lanes, step = block_.out_channels;
    for (int64_t y = 0; y < height; ++y) {
      float* patch = plane + 2 * y * row;
      for (int64_t x = 0; x < width; ++x, patch += window, count += 4, gradients += step) {
        channels = add_window(channels, count, gradients, filters, patch, row);
      }
    }
  }

 private:
  // Of so many channels a plane's filters are 36 KB with AVX-512 and 18 KB with AVX2. The article's
  // convolutions take 1.03 times as long with 32 and 1.02 times with 128 (AVX2, a first-level cache
  // of 32 KB, n = 3).
  static constexpr int64_t kBlock = kMaxSorted;
  static constexpr int64_t kFilter = 9 * hn::MaxLanes(D());  // Layout::filter, as a constant
  using Taps = std::make_index_sequence<9>;
  using Pixels = std::make_index_sequence<16>;

  // Where pixel kPixel won, its output saw the 3x3 pixels from there on.
  template <size_t kPixel, size_t... kTap>
  static HWY_INLINE void add_taps(V (&patch)[16], const float* HWY_RESTRICT filter, V gradient,
                                  std::index_sequence<kTap...>) {
    ((patch[(kPixel / 2 + kTap / 3) * 4 + kPixel % 2 + kTap % 3] =
          hn::MulAdd(gradient, hn::LoadU(D(), filter + kTap * hn::Lanes(D())),
                     patch[(kPixel / 2 + kTap / 3) * 4 + kPixel % 2 + kTap % 3])),
     ...);
  }

  template <size_t kPixel>
  static HWY_INLINE const uint8_t* add_pixel(V (&patch)[16], const uint8_t* channel, uint8_t count,
                                             const float* gradients, const float* filters) {
    for (const uint8_t* const end = channel + count; channel != end; ++channel) {
      add_taps<kPixel>(patch, filters + *channel * kFilter, hn::Set(D(), gradients[*channel]),
                       Taps());
    }
    return channel;
  }

  template <size_t... kPixel>
  static HWY_INLINE void add_to_image(const V (&patch)[16], float* HWY_RESTRICT image, int64_t row,
                                      std::index_sequence<kPixel...>) {
    (add_to_pixel(patch[kPixel], image + static_cast<int64_t>(kPixel / 4) * row +
                                     static_cast<int64_t>(kPixel % 4 * hn::Lanes(D()))),
     ...);
  }

  static HWY_INLINE void add_to_pixel(V value, float* pixel) {
    hn::Store(hn::Add(hn::Load(D(), pixel), value), D(), pixel);
  }

  template <size_t... kPixel>
  static HWY_INLINE void zero(V (&patch)[16], std::index_sequence<kPixel...>) {
    ((patch[kPixel] = hn::Zero(D())), ...);
  }

  // Returns where the next window's channels begin. `row` is an argument because the compiler
  // cannot know that stores to the image leave the layout alone.
  static HWY_INLINE const uint8_t* add_window(const uint8_t* channel, const uint8_t* counts,
                                              const float* gradients, const float* filters,
                                              float* image, int64_t row) {
    V patch[16];
    zero(patch, Pixels());
    channel = add_pixel<0>(patch, channel, counts[0], gradients, filters);
    channel = add_pixel<1>(patch, channel, counts[1], gradients, filters);
    channel = add_pixel<2>(patch, channel, counts[2], gradients, filters);
    channel = add_pixel<3>(patch, channel, counts[3], gradients, filters);
    add_to_image(patch, image, row, Pixels());
    return channel;
  }

  const ConvBlock& block_;
  const Layout& layout_;
  int64_t windows_, blocks_;
  std::unique_ptr<uint8_t[]> channels_;  // numbers within their block
  std::unique_ptr<uint8_t[]> counts_;
  std::vector<int64_t> begin_;  // of each block's channels
  const float* gradients_ = nullptr;
};

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

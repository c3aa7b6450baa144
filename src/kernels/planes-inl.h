// How the backward pass lays images and filters out: in planes of one vector of channels, so that a
// pixel of a plane is one vector and a plane stays in the first-level cache. Fewer channels than a
// vector has lanes stay together: one plane, in which a row of a patch is contiguous.
// Included once an instruction set.
#if defined(CIFAR_KERNELS_PLANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_PLANES_INL_H_
#undef CIFAR_KERNELS_PLANES_INL_H_
#else
#define CIFAR_KERNELS_PLANES_INL_H_
#endif

#include <algorithm>

#include "kernels/conv_block.h"
#include "kernels/padded_image.h"
#include "kernels/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {

// Sizes in floats. A patch of a plane is `kernel` rows of `vectors` vectors, and so is a filter of
// it.
struct Layout {
  explicit Layout(const ConvBlock& block)
      : lanes(static_cast<int64_t>(hn::Lanes(D()))),
        pixel(std::min(block.in_channels, lanes)),
        planes((block.in_channels + lanes - 1) / lanes),
        row((block.width + 2 * block.padding) * pixel),
        plane(round_up((block.height + 2 * block.padding) * row + kSlack, kSlack)),
        vectors((block.kernel * pixel + lanes - 1) / lanes),
        filter(block.kernel * vectors * lanes),
        filter_plane(block.out_channels * filter) {}

  int64_t filter_place(int64_t plane, int64_t channel) const {
    return plane * filter_plane + channel * filter;
  }

  int64_t lanes, pixel, planes, row, plane, vectors, filter, filter_plane;
};

HWY_INLINE void copy_floats(const float* from, float* to, int64_t count) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  if (count == lanes) return hn::StoreU(hn::LoadU(D(), from), D(), to);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(D(), from + i), D(), to + i);
  if (i < count) store_floats(load_floats(from + i, count - i), to + i, count - i);
}

HWY_INLINE void zero_floats(float* to, int64_t count) {
  const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
  if (count == lanes) return hn::StoreU(hn::Zero(D()), D(), to);
  std::fill_n(to, count, 0.0f);
}

// Some padded images in planes: those of all images for one vector of channels lie side by side.
class Planes {
 public:
  Planes(const ConvBlock& block, const Layout& layout, int64_t images)
      : block_(block),
        layout_(layout),
        images_(images),
        floats_(make_floats(layout.planes * images * layout.plane)) {}

  // Of the first image; those of the next follow.
  float* plane(int64_t index) const { return floats_.get() + index * images_ * layout_.plane; }

  void load(int64_t index, const float* image) {
    for_each_run(index, [&](int64_t place, float* pixel, int64_t count)
                            HWY_ATTR { copy_floats(image + place, pixel, count); });
  }

  // Writes an image and leaves zeros in its place. Its border, which nobody reads, keeps what was
  // added there.
  void take(int64_t index, float* image) {
    for_each_run(index, [&](int64_t place, float* pixel, int64_t count) HWY_ATTR {
      copy_floats(pixel, image + place, count);
      zero_floats(pixel, count);
    });
  }

 private:
  // visit(place in the image, place in a plane, floats that are contiguous in both), in the order
  // of the image, which is likely not in the first-level cache.
  template <class Visit>
  HWY_INLINE void for_each_run(int64_t index, const Visit& visit) const {
    // Copies, since the compiler cannot know that vector stores leave the originals alone.
    const int64_t channels = block_.in_channels, width = block_.width;
    const int64_t plane_step = images_ * layout_.plane, pixel_size = layout_.pixel;
    const bool one_plane = layout_.planes == 1;
    const auto lanes = static_cast<int64_t>(hn::Lanes(D()));
    for (int64_t y = 0; y < block_.height; ++y) {
      int64_t place = y * width * channels;
      float* pixel = floats_.get() + index * layout_.plane + (y + block_.padding) * layout_.row +
                     block_.padding * pixel_size;
      if (one_plane) {
        visit(place, pixel, width * channels);
        continue;
      }
      for (int64_t x = 0; x < width; ++x, place += channels, pixel += pixel_size) {
        float* part = pixel;
        int64_t c = 0;
        for (; c + lanes <= channels; c += lanes, part += plane_step) visit(place + c, part, lanes);
        if (c < channels) visit(place + c, part, channels - c);
      }
    }
  }

  const ConvBlock& block_;
  const Layout& layout_;
  int64_t images_;
  Floats floats_;
};

// Filters lie as [plane][out][ky][vectors]. Calls visit(place in [out][ky][kx][in], place in
// filters, floats that are contiguous in both).
template <class Visit>
HWY_INLINE void for_each_filter_run(const ConvBlock& block, const Layout& layout,
                                    const Visit& visit) {
  // Copies, as in Planes.
  const int64_t row = layout.vectors * layout.lanes, pixel = layout.pixel;
  const int64_t kernel = block.kernel, channels = block.in_channels;
  const int64_t rows = block.out_channels * kernel;
  for (int64_t p = 0; p < layout.planes; ++p) {
    int64_t place = p * layout.lanes;
    const int64_t count = std::min(layout.lanes, channels - place);
    int64_t run = layout.filter_place(p, 0);
    for (int64_t i = 0; i < rows; ++i, run += row) {
      for (int64_t x = 0; x < kernel; ++x, place += channels) visit(place, run + x * pixel, count);
    }
  }
}

// Where a vector has no channel, `filters` keeps the zeros that it must have.
HWY_INLINE void load_filters(const ConvBlock& block, const Layout& layout, const float* weights,
                             float* filters) {
  for_each_filter_run(block, layout, [&](int64_t place, int64_t run, int64_t count) HWY_ATTR {
    copy_floats(weights + place, filters + run, count);
  });
}

HWY_INLINE void store_filters(const ConvBlock& block, const Layout& layout, const float* filters,
                              float* weights) {
  for_each_filter_run(block, layout, [&](int64_t place, int64_t run, int64_t count) HWY_ATTR {
    copy_floats(filters + run, weights + place, count);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

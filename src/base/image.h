// A picture in memory, of any size: what decode_png and decode_jpeg make of a file, and what
// encode_png takes.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace cifar {

struct RgbImage {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb = {};  // width * height pixels, row by row

  uint8_t* pixel(int x, int y) { return rgb.data() + (int64_t{y} * width + x) * 3; }
  const uint8_t* pixel(int x, int y) const { return rgb.data() + (int64_t{y} * width + x) * 3; }
};

// A file of some kilobytes can claim more pixels than there is memory. std::runtime_error.
inline void refuse_giant_image(int64_t width, int64_t height) {
  constexpr int64_t kMostPixels = 250'000'000;
  if (width > kMostPixels / height) throw std::runtime_error("more than 250 million pixels");
}

}  // namespace cifar

#include "base/png.h"

#include <png.h>

#include <algorithm>

namespace cifar {
namespace {

// libpng's simplified interface, which catches its own long jumps.
class Png {
 public:
  Png() { control_.version = PNG_IMAGE_VERSION; }
  ~Png() { png_image_free(&control_); }
  Png(const Png&) = delete;
  Png& operator=(const Png&) = delete;

  png_image* operator->() { return &control_; }
  png_image* get() { return &control_; }
  void check(int result) const {
    if (result == 0) throw std::runtime_error(std::string("PNG: ") + control_.message);
  }

 private:
  png_image control_ = {};
};

uint8_t on_white(unsigned value, unsigned alpha) {
  return static_cast<uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

}  // namespace

bool is_png(std::string_view bytes) {
  return bytes.starts_with("\x89PNG\r\n\x1a\n");
}

RgbImage decode_png(std::string_view bytes) {
  Png png;
  png.check(png_image_begin_read_from_memory(png.get(), bytes.data(), bytes.size()));
  refuse_giant_image(png->width, png->height);
  // Deflate packs 1032 bytes into one at best, and a pixel has a bit at least.
  if (size_t{png->width} * png->height / 8 / 1032 > bytes.size()) {
    throw std::runtime_error("PNG: too short for its size in pixels");
  }
  png->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // as 8 bits are; libpng would take them as linear
  png->format = PNG_FORMAT_RGBA;
  std::vector<uint8_t> rgba(PNG_IMAGE_SIZE(*png.get()));
  png.check(png_image_finish_read(png.get(), nullptr, rgba.data(), 0, nullptr));
  RgbImage image{static_cast<int>(png->width), static_cast<int>(png->height)};
  image.rgb.resize(rgba.size() / 4 * 3);
  uint8_t* to = image.rgb.data();
  for (size_t i = 0; i < rgba.size(); i += 4) {
    for (size_t c = 0; c < 3; ++c) *to++ = on_white(rgba[i + c], rgba[i + 3]);
  }
  return image;
}

std::string encode_png(const RgbImage& image) {
  Png png;
  png->width = static_cast<png_uint_32>(image.width);
  png->height = static_cast<png_uint_32>(image.height);
  png->format = PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(*png.get()), '\0');
  png_alloc_size_t size = bytes.size();
  png.check(
      png_image_write_to_memory(png.get(), bytes.data(), &size, 0, image.rgb.data(), 0, nullptr));
  bytes.resize(size);
  return bytes;
}

}  // namespace cifar

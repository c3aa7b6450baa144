#include "base/exif.h"

#include <algorithm>

namespace cifar {
namespace {

// `width` bytes at `at` of TIFF data, which says itself in which order; 0 beyond its end.
size_t tiff_number(std::string_view tiff, size_t at, size_t width) {
  if (at > tiff.size() || width > tiff.size() - at) return 0;
  size_t number = 0;
  for (size_t i = 0; i < width; ++i) {
    const size_t place = tiff.starts_with("II") ? at + width - 1 - i : at + i;
    number = number << 8 | static_cast<uint8_t>(tiff[place]);
  }
  return number;
}

// Of a TIFF type that is an integer (TIFF 6.0, page 15); 0 of others. EXIF asks for SHORT; programs
// write all of them.
size_t width_of_type(size_t type) {
  switch (type) {
    case 1:  // BYTE, SBYTE
    case 6:
      return 1;
    case 3:  // SHORT, SSHORT
    case 8:
      return 2;
    case 4:  // LONG, SLONG
    case 9:
      return 4;
    default:
      return 0;
  }
}

}  // namespace

int exif_orientation(std::string_view tiff) {
  const size_t directory = tiff_number(tiff, 4, 4), entries = tiff_number(tiff, directory, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (tiff_number(tiff, entry, 2) != 0x0112) continue;
    const size_t width = width_of_type(tiff_number(tiff, entry + 2, 2));
    const size_t value = tiff_number(tiff, entry + 8, width);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

RgbImage upright(RgbImage image, int orientation) {
  if (orientation == 1) return image;
  const bool turned = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation >= 7;
  const bool mirror_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  RgbImage result{turned ? image.height : image.width, turned ? image.width : image.height};
  result.rgb.resize(image.rgb.size());
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x) {
      const int u = turned ? y : x, v = turned ? x : y;
      const uint8_t* from =
          image.pixel(mirror_x ? image.width - 1 - u : u, mirror_y ? image.height - 1 - v : v);
      std::copy_n(from, 3, result.pixel(x, y));
    }
  }
  return result;
}

}  // namespace cifar

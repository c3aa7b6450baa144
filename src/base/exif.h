// EXIF: how a camera was held, and a picture turned upright by it.
#pragma once

#include <string_view>

#include "base/image.h"

namespace cifar {

// Tag 0x0112 of EXIF data that begin with a TIFF header ("II" or "MM"), typed as any integer: 1 to
// 8, as Exif 2.32 has it in 4.6.2; 1, upright, for all else.
int exif_orientation(std::string_view tiff);

// Orientations 5 to 8 exchange rows and columns, and four of the eight mirror each of the two.
RgbImage upright(RgbImage image, int orientation);

}  // namespace cifar

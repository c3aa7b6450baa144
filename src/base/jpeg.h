// JPEG files, by libjpeg(-turbo): baseline and progressive, grey, colour and CMYK, turned as their
// EXIF orientation says.
#pragma once

#include <string_view>

#include "base/image.h"

namespace cifar {

bool is_jpeg(std::string_view bytes);

// std::runtime_error that says what is wrong with the bytes: a picture that is damaged or cut off
// is refused.
RgbImage decode_jpeg(std::string_view bytes);

}  // namespace cifar

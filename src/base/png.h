// PNG files, by libpng. What is transparent is laid on white; 16 bits a channel become 8; numbers
// are taken as sRGB, whatever gamma a file tells; turned as their EXIF orientation says.
#pragma once

#include <string>
#include <string_view>

#include "base/image.h"

namespace cifar {

bool is_png(std::string_view bytes);

// std::runtime_error that says what is wrong with the bytes: a picture without some of its pixels
// is refused; what is missing behind them is not missed.
RgbImage decode_png(std::string_view bytes);

std::string encode_png(const RgbImage& image);

}  // namespace cifar

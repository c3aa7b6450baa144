// Pictures of any size as the network sees them: 32x32, in the form of an ImageSet.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/image.h"
#include "data/image_set.h"

namespace cifar {

// The largest square in the middle, scaled to size x size with an antialiased triangle filter
// (torchvision's Resize and CenterCrop in one step, without their rounding to whole pixels; PIL's
// resize(..., BILINEAR, box)). A picture of that size comes back as it is.
RgbImage centre_square(const RgbImage& image, int size);

// A PNG or JPEG file. Error(kData), which names the file, for anything else.
RgbImage read_picture(const std::string& file);

// The files that a path stands for: itself, or the *.png, *.jpg, *.jpeg, *.jfif and *.jpe of a
// folder, by name, without hidden ones and not of the folders in it. Error(kData) for a folder
// without any.
std::vector<std::string> picture_files(const std::string& path);

// Pictures of 32x32, with label 0.
ImageSet set_of(const std::vector<RgbImage>& pictures);

}  // namespace cifar

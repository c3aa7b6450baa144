#include "data/pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <string_view>

#include "base/error.h"
#include "base/files.h"
#include "base/jpeg.h"
#include "base/png.h"

namespace cifar {
namespace {

constexpr const char* kExpected = "a PNG or JPEG picture";

// The source pixels [first, first + weights.size()) that an output pixel is made of, and their
// shares.
struct Window {
  int first;
  std::vector<double> shares;
};

// For `size` output pixels that span `length` source pixels from `begin` on, out of `all`. Going
// down, the triangle is as wide as two output pixels; going up, as two source pixels.
std::vector<Window> windows_of(double begin, double length, int all, int size) {
  const double scale = length / size, reach = std::max(scale, 1.0);
  std::vector<Window> windows;
  for (int i = 0; i < size; ++i) {
    const double centre = begin + (i + 0.5) * scale;
    Window window{std::max(0, static_cast<int>(std::floor(centre - reach))), {}};
    double sum = 0;
    for (int at = window.first; at < std::min<double>(all, std::ceil(centre + reach)); ++at) {
      const double share = std::max(0.0, 1 - std::abs(at + 0.5 - centre) / reach);
      window.shares.push_back(share);
      sum += share;
    }
    for (double& share : window.shares) share /= sum;
    windows.push_back(std::move(window));
  }
  return windows;
}

// One row of the source, scaled: size * 3 values.
std::vector<double> scaled_row(const RgbImage& image, int y, const std::vector<Window>& windows) {
  std::vector<double> row;
  row.reserve(windows.size() * 3);
  for (const Window& window : windows) {
    double sums[3] = {0, 0, 0};
    const uint8_t* pixel = image.pixel(window.first, y);
    for (const double share : window.shares) {
      for (double& sum : sums) sum += share * *pixel++;
    }
    row.insert(row.end(), sums, sums + 3);
  }
  return row;
}

RgbImage decode(const std::string& bytes) {
  if (is_png(bytes)) return decode_png(bytes);
  if (is_jpeg(bytes)) return decode_jpeg(bytes);
  throw std::runtime_error(bytes.empty() ? "an empty file" : "neither PNG nor JPEG");
}

// Of the PNG and JPEG files in a folder. Hidden ones are not meant: programs keep their own data
// about a picture in files such as ._cat.jpg.
bool is_picture_name(const std::filesystem::path& path) {
  constexpr std::string_view kEndings[] = {".png", ".jpg", ".jpeg", ".jfif", ".jpe"};
  if (path.filename().string().starts_with(".")) return false;
  std::string ending = path.extension().string();
  std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return std::ranges::find(kEndings, ending) != std::end(kEndings);
}

// A file, or a link to one, or to nothing: that is told when it is opened.
bool may_be_file(const std::string& path) {
  std::error_code unknown;
  const auto type = std::filesystem::status(path, unknown).type();
  return type == std::filesystem::file_type::regular ||
         type == std::filesystem::file_type::not_found;
}

}  // namespace

RgbImage centre_square(const RgbImage& image, int size) {
  const int side = std::min(image.width, image.height);
  const auto columns = windows_of((image.width - side) / 2.0, side, image.width, size);
  const auto rows = windows_of((image.height - side) / 2.0, side, image.height, size);
  std::vector<double> sums(size_t(size) * size * 3);
  // Each source row is scaled once, and added to the output rows that it is part of.
  for (int y = rows.front().first; y < image.height; ++y) {
    std::vector<double> row;
    for (int out = 0; out < size; ++out) {
      const size_t i = static_cast<size_t>(y - rows[out].first);
      if (y < rows[out].first || i >= rows[out].shares.size()) continue;
      if (row.empty()) row = scaled_row(image, y, columns);
      double* sum = sums.data() + size_t(out) * size * 3;
      for (const double value : row) *sum++ += rows[out].shares[i] * value;
    }
  }
  RgbImage result{size, size};
  for (const double sum : sums) result.rgb.push_back(static_cast<uint8_t>(std::lround(sum)));
  return result;
}

RgbImage read_picture(const std::string& file) {
  constexpr int64_t kMostBytes = 1'000'000'000;
  const std::string bytes = read_file(file, ExitCode::kData, kMostBytes);
  try {
    return decode(bytes);
  } catch (const std::exception& error) {
    throw Error(ExitCode::kData, file, error.what(), kExpected);
  }
}

std::vector<std::string> picture_files(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return {path};
  std::vector<std::string> files;
  for (const std::string& file : paths_in(path, ExitCode::kData)) {
    if (is_picture_name(file) && may_be_file(file)) files.push_back(file);
  }
  if (files.empty()) {
    throw Error(ExitCode::kData, path, "no pictures in this folder",
                "files that end in .png, .jpg, .jpeg, .jfif or .jpe");
  }
  std::ranges::sort(files);
  return files;
}

ImageSet set_of(const std::vector<RgbImage>& pictures) {
  const auto count = static_cast<int64_t>(pictures.size());
  const auto bytes = std::make_shared<uint8_t[]>(count * kRecordBytes);
  for (int64_t i = 0; i < count; ++i) {
    uint8_t* planes = bytes.get() + i * kRecordBytes + 1;
    for (int k = 0; k < kImageBytes; ++k) {
      planes[k % kChannels * kPixels + k / kChannels] = pictures[i].rgb[k];
    }
  }
  return ImageSet({{{bytes, bytes.get()}, count}});
}

}  // namespace cifar

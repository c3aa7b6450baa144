#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/png.h"
#include "verbs/inspect.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kColumns = 16, kZoom = 2, kGap = 4;  // of the contact sheet; pixels
constexpr int kPitch = kImageSize * kZoom + kGap;

constexpr std::array<const char*, 3> kSplits = {"train", "val", "test"};
using Counts = std::array<std::array<int64_t, kSplits.size()>, kClasses>;

Counts count(const Dataset& dataset, const DataConfig& config) {
  Counts counts = {};
  for (size_t s = 0; s < kSplits.size(); ++s) {
    const Samples samples = samples_of(dataset, config, kSplits[s]);
    for (const int32_t i : samples.order) ++counts[samples.images.label(i)][s];
  }
  return counts;
}

void print_table(const Counts& counts, const Log& log) {
  const auto print = [&log](const std::string& name, const std::array<int64_t, 3>& row) {
    log.line(fmt::format("{:<12}{:>10}{:>10}{:>10}{:>10}", name, fmt::group_digits(row[0]),
                         fmt::group_digits(row[1]), fmt::group_digits(row[2]),
                         fmt::group_digits(row[0] + row[1] + row[2])));
  };
  log.line(fmt::format("{:<12}{:>10}{:>10}{:>10}{:>10}", "class", kSplits[0], kSplits[1],
                       kSplits[2], "sum"));
  std::array<int64_t, 3> sums = {};
  for (int c = 0; c < kClasses; ++c) {
    print(kClassNames[c], counts[c]);
    for (size_t s = 0; s < sums.size(); ++s) sums[s] += counts[c][s];
  }
  print("sum", sums);
}

Json json_of(const Dataset& dataset, const DataConfig& config, const Counts& counts) {
  Json json = {{"data", dataset.name}, {"split_seed", config.split_seed}};
  for (int c = 0; c < kClasses; ++c) {
    Json row = {{"class", kClassNames[c]}};
    for (size_t s = 0; s < kSplits.size(); ++s) row[kSplits[s]] = counts[c][s];
    json["classes"].push_back(row);
  }
  return json;
}

void draw(const uint8_t* planes, int left, int top, RgbImage& sheet) {
  for (int y = 0; y < kImageSize * kZoom; ++y) {
    for (int x = 0; x < kImageSize * kZoom; ++x) {
      const uint8_t* from = planes + y / kZoom * kImageSize + x / kZoom;
      uint8_t* to = sheet.pixel(left + x, top + y);
      for (int c = 0; c < kChannels; ++c) to[c] = from[c * kPixels];
    }
  }
}

// A row for each class: its first images in the order of the split.
RgbImage contact_sheet(const Samples& samples) {
  RgbImage sheet{kColumns * kPitch + kGap, kClasses * kPitch + kGap};
  sheet.rgb.assign(size_t(sheet.width) * sheet.height * kChannels, 255);
  std::array<int, kClasses> shown = {};
  for (const int32_t i : samples.order) {
    const int label = samples.images.label(i);
    if (shown[label] == kColumns) continue;
    draw(samples.images.image(i), kGap + shown[label]++ * kPitch, kGap + label * kPitch, sheet);
  }
  return sheet;
}

}  // namespace

ExitCode inspect_data(const Invocation& invocation) {
  const Config& config = invocation.line.config;
  const Log& log = invocation.log;
  const Dataset dataset = open_dataset(config.data);
  const Counts counts = count(dataset, config.data);
  if (config.evaluate.json) {
    log.line(json_text(json_of(dataset, config.data, counts)));
  } else {
    log.line(fmt::format("data set {}, split seed {}", dataset.name, config.data.split_seed));
    print_table(counts, log);
  }
  const std::string& file = config.evaluate.contact_sheet;
  if (file.empty() || invocation.world.rank() != 0) return ExitCode::kDone;
  const Samples samples = samples_of(dataset, config.data, config.evaluate.split);
  write_file(file, encode_png(contact_sheet(samples)), ExitCode::kUsage);
  if (!config.evaluate.json) {
    log.line(
        fmt::format("contact sheet {}: the first {} images of each class of the {} split, "
                    "a row a class, in this order",
                    file, kColumns, config.evaluate.split));
  }
  return ExitCode::kDone;
}

}  // namespace cifar

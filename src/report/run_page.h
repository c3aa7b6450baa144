// The page of one run: how it went, where the time went, and what the network makes of the test
// split. Also the curves as SVG files and, for TensorBoard, an events file.
#pragma once

#include <optional>
#include <string>

#include "base/log.h"
#include "data/image_set.h"
#include "report/run_record.h"
#include "train/predictions.h"

namespace cifar {

// What a network says of the images of the test split, in their order.
struct TestedImages {
  const std::vector<Prediction>& predictions;
  const ImageSet& images;
  std::string network;  // which one: "the network at step 2112"
};

// The whole document. Without `tested` the sections on classes and mistakes say why not.
std::string run_page(const RunRecord& run, const std::optional<TestedImages>& tested);

// Writes STEM.html and STEM-loss.svg and so on, where `file` is STEM.html, and the events file into
// the run's directory. Error(kUsage) when that cannot be done.
void write_run_report(const RunRecord& run, const std::optional<TestedImages>& tested,
                      const std::string& file);

}  // namespace cifar

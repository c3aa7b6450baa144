// The page of a run, as training writes it at its end.
#pragma once

#include <string>
#include <vector>

#include "data/image_set.h"
#include "train/predictions.h"

namespace cifar {

// RUN/report.html, the curves and TensorBoard's events. `predictions`: of the test split; empty
// when the run has not come to its end. False when that failed, which it tells: the training is
// done all the same.
bool report_after_training(const std::string& run, const std::vector<Prediction>& predictions,
                           const ImageSet& test);

}  // namespace cifar

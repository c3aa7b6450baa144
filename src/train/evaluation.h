// Loss and accuracy over a whole split: sums and counts, divided once.
#pragma once

#include "train/predictions.h"

namespace cifar {

struct EvaluationResult {
  int64_t samples = 0;
  int64_t correct = 0;
  double loss = 0;  // mean

  double accuracy() const {
    return samples == 0 ? 0 : static_cast<double>(correct) / static_cast<double>(samples);
  }
};

// Adds in the order of the predictions, so that the bits depend on nothing else.
EvaluationResult summary_of(const std::vector<Prediction>& predictions);

}  // namespace cifar

#include "train/evaluation.h"

namespace cifar {

EvaluationResult summary_of(const std::vector<Prediction>& predictions) {
  EvaluationResult result{static_cast<int64_t>(predictions.size())};
  for (const Prediction& prediction : predictions) {
    result.loss += prediction.loss;
    result.correct += prediction.right();
  }
  if (result.samples > 0) result.loss /= static_cast<double>(result.samples);
  return result;
}

}  // namespace cifar

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

EvaluationResult evaluate(Network& network, Batches& batches, int64_t samples,
                          const std::string& how, const Precision& precision, Communicator& comm) {
  return summary_of(predict(network, batches, samples, how, precision, comm));
}

}  // namespace cifar

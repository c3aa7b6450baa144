#include "train/loss.h"

#include <algorithm>
#include <cmath>

namespace cifar {
namespace {

struct SampleLoss {
  double loss;
  bool correct;
};

// Writes the gradient of one sample's loss, times `scale`.
SampleLoss sample_loss(const float* logits, int64_t classes, int64_t label, float scale,
                       float* gradient) {
  const float* const largest = std::max_element(logits, logits + classes);
  float sum = 0;
  for (int64_t c = 0; c < classes; ++c) sum += gradient[c] = std::exp(logits[c] - *largest);
  const float factor = scale / sum;
  for (int64_t c = 0; c < classes; ++c) gradient[c] *= factor;
  gradient[label] -= scale;
  return {std::log(sum) - (logits[label] - *largest), largest - logits == label};
}

torch::Tensor on_the_cpu(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                         const torch::Tensor& metrics) {
  const int64_t classes = logits.size(1);
  torch::Tensor gradient = torch::empty_like(logits);
  const float* from = logits.const_data_ptr<float>();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  float* to = gradient.mutable_data_ptr<float>();
  double loss = 0;
  int64_t correct = 0;
  for (int64_t i = 0; i < logits.size(0); ++i, from += classes, to += classes) {
    const SampleLoss sample = sample_loss(from, classes, label[i], static_cast<float>(scale), to);
    loss += sample.loss;
    correct += sample.correct;
  }
  float* sums = metrics.mutable_data_ptr<float>();
  sums[0] += static_cast<float>(loss * scale);
  sums[1] += static_cast<float>(correct);
  return gradient;
}

torch::Tensor on_the_device(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                            const torch::Tensor& metrics) {
  const torch::Tensor log_softmax = torch::log_softmax(logits, 1);
  const torch::Tensor places = labels.unsqueeze(1);
  metrics[0].add_(log_softmax.gather(1, places).sum(), -scale);
  metrics[1].add_(logits.argmax(1).eq(labels).sum());
  torch::Tensor gradient = log_softmax.exp().mul_(scale);
  return gradient.scatter_add_(1, places, torch::full_like(places, -scale, gradient.options()));
}

}  // namespace

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                            const torch::Tensor& metrics) {
  torch::NoGradGuard no_grad;
  const torch::Tensor values = logits.detach().to(torch::kFloat32).contiguous();
  const auto compute = values.is_cpu() ? on_the_cpu : on_the_device;
  return compute(values, labels, scale, metrics).to(logits.scalar_type());
}

}  // namespace cifar

#include "train/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace cifar {
namespace {

// One sample: writes the loss's gradient by its logits, times terms.gradient_scale; returns the
// loss. In float64, whose exponential of ten classes costs nothing beside the layers.
double sample_loss(const float* logits, int64_t classes, int64_t label, const CrossEntropy& terms,
                   std::vector<double>& powers, float* gradient) {
  const double largest = *std::max_element(logits, logits + classes);
  const double off_label = terms.label_smoothing / static_cast<double>(classes);
  const double on_label = 1 - terms.label_smoothing + off_label;
  double sum = 0, all = 0;  // of the powers; of the logits, less the largest
  for (int64_t i = 0; i < classes; ++i) {
    const double logit = logits[i] - largest;
    powers[i] = std::exp(logit);
    sum += powers[i];
    all += logit;
  }
  for (int64_t i = 0; i < classes; ++i) {
    const double target = i == label ? on_label : off_label;
    gradient[i] = static_cast<float>(terms.gradient_scale * (powers[i] / sum - target));
  }
  const double of_label = logits[label] - largest;
  const double loss = std::log(sum) - (1 - terms.label_smoothing) * of_label;
  return off_label > 0 ? loss - off_label * all : loss;  // `all` may be infinite
}

torch::Tensor cross_entropy_on_cpu(const torch::Tensor& logits, const torch::Tensor& labels,
                                   const CrossEntropy& terms, const torch::Tensor& metrics) {
  const int64_t samples = logits.size(0), classes = logits.size(1);
  const torch::Tensor gradient = torch::empty_like(logits);
  const float* value = logits.const_data_ptr<float>();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  float* to = gradient.mutable_data_ptr<float>();
  std::vector<double> powers(classes);
  double sum = 0;
  int64_t correct = 0;
  for (int64_t i = 0; i < samples; ++i, value += classes, to += classes) {
    sum += sample_loss(value, classes, label[i], terms, powers, to);
    correct += std::max_element(value, value + classes) - value == label[i];
  }
  float* sums = metrics.mutable_data_ptr<float>();
  sums[0] += static_cast<float>(sum * terms.loss_scale);
  sums[1] += static_cast<float>(correct);
  return gradient;
}

torch::Tensor cross_entropy_on_device(const torch::Tensor& logits, const torch::Tensor& labels,
                                      const CrossEntropy& terms, const torch::Tensor& metrics) {
  const torch::Tensor log_softmax = torch::log_softmax(logits, 1), places = labels.unsqueeze(1);
  const auto classes = static_cast<double>(logits.size(1));
  const double smoothing = terms.label_smoothing;
  metrics[0].add_(log_softmax.gather(1, places).sum(), -terms.loss_scale * (1 - smoothing));
  if (smoothing > 0) {
    metrics[0].add_(log_softmax.sum(), -terms.loss_scale * smoothing / classes);
  }
  metrics[1].add_(log_softmax.argmax(1).eq(labels).sum());
  const double other = 0 - terms.gradient_scale * smoothing / classes;
  const double label = other - terms.gradient_scale * (1 - smoothing);
  const auto by_log_softmax = torch::full_like(log_softmax, other).scatter_(1, places, label);
  // What autograd calls, so that the gradient has its bits.
  return torch::_log_softmax_backward_data(by_log_softmax, log_softmax, 1, torch::kFloat32);
}

}  // namespace

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels,
                            const CrossEntropy& terms, const torch::Tensor& metrics) {
  torch::NoGradGuard no_grad;
  const torch::Tensor values = logits.detach().to(torch::kFloat32).contiguous();
  const auto compute = values.is_cpu() ? cross_entropy_on_cpu : cross_entropy_on_device;
  return compute(values, labels, terms, metrics).to(logits.scalar_type());
}

}  // namespace cifar

#include "train/loss.h"

#include <algorithm>

namespace cifar {
namespace {

// Both add to the metrics and return the gradient of metrics[0] by log_softmax.

torch::Tensor likelihood_on_cpu(const torch::Tensor& log_softmax, const torch::Tensor& labels,
                                double scale, const torch::Tensor& metrics) {
  const int64_t samples = log_softmax.size(0), classes = log_softmax.size(1);
  const torch::Tensor gradient = torch::zeros_like(log_softmax);
  const float* value = log_softmax.const_data_ptr<float>();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  float* to = gradient.mutable_data_ptr<float>();
  double sum = 0;
  int64_t correct = 0;
  for (int64_t i = 0; i < samples; ++i, value += classes, to += classes) {
    sum -= value[label[i]];
    correct += std::max_element(value, value + classes) - value == label[i];
    to[label[i]] = static_cast<float>(-scale);
  }
  float* sums = metrics.mutable_data_ptr<float>();
  sums[0] += static_cast<float>(sum * scale);
  sums[1] += static_cast<float>(correct);
  return gradient;
}

torch::Tensor likelihood_on_device(const torch::Tensor& log_softmax, const torch::Tensor& labels,
                                   double scale, const torch::Tensor& metrics) {
  const torch::Tensor places = labels.unsqueeze(1);
  metrics[0].add_(log_softmax.gather(1, places).sum(), -scale);
  metrics[1].add_(log_softmax.argmax(1).eq(labels).sum());
  return torch::zeros_like(log_softmax).scatter_(1, places, -scale);
}

}  // namespace

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                            const torch::Tensor& metrics) {
  torch::NoGradGuard no_grad;
  const torch::Tensor values = logits.detach().to(torch::kFloat32).contiguous();
  const torch::Tensor log_softmax = torch::log_softmax(values, 1);
  const auto likelihood = values.is_cpu() ? likelihood_on_cpu : likelihood_on_device;
  // What autograd calls, so that the gradient has its bits.
  return torch::_log_softmax_backward_data(likelihood(log_softmax, labels, scale, metrics),
                                           log_softmax, 1, torch::kFloat32)
      .to(logits.scalar_type());
}

}  // namespace cifar

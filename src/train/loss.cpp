#include "train/loss.h"

#include <algorithm>
#include <numeric>

namespace cifar {
namespace {

// The gradient by log_softmax: `label` at a sample's label, `other` at the other classes.
struct Gradient {
  Gradient(const CrossEntropy& terms, int64_t classes)
      : other(0 - terms.gradient_scale * terms.label_smoothing / static_cast<double>(classes)),
        label(other - terms.gradient_scale * (1 - terms.label_smoothing)) {}

  double other, label;
};

// Both add to the metrics and return the gradient by log_softmax.

torch::Tensor likelihood_on_cpu(const torch::Tensor& log_softmax, const torch::Tensor& labels,
                                const CrossEntropy& terms, const torch::Tensor& metrics) {
  const int64_t samples = log_softmax.size(0), classes = log_softmax.size(1);
  const double smoothing = terms.label_smoothing;
  const Gradient of(terms, classes);
  const torch::Tensor gradient = torch::full_like(log_softmax, of.other);
  const float* value = log_softmax.const_data_ptr<float>();
  const int64_t* label = labels.const_data_ptr<int64_t>();
  float* to = gradient.mutable_data_ptr<float>();
  double sum = 0;
  int64_t correct = 0;
  for (int64_t i = 0; i < samples; ++i, value += classes, to += classes) {
    if (smoothing == 0) {
      sum -= value[label[i]];
    } else {
      const double all = std::accumulate(value, value + classes, 0.0);
      sum -= (1 - smoothing) * value[label[i]] + smoothing / static_cast<double>(classes) * all;
    }
    correct += std::max_element(value, value + classes) - value == label[i];
    to[label[i]] = static_cast<float>(of.label);
  }
  float* sums = metrics.mutable_data_ptr<float>();
  sums[0] += static_cast<float>(sum * terms.loss_scale);
  sums[1] += static_cast<float>(correct);
  return gradient;
}

torch::Tensor likelihood_on_device(const torch::Tensor& log_softmax, const torch::Tensor& labels,
                                   const CrossEntropy& terms, const torch::Tensor& metrics) {
  const torch::Tensor places = labels.unsqueeze(1);
  const double smoothing = terms.label_smoothing;
  metrics[0].add_(log_softmax.gather(1, places).sum(), -terms.loss_scale * (1 - smoothing));
  if (smoothing > 0) {
    metrics[0].add_(log_softmax.sum(),
                    -terms.loss_scale * smoothing / static_cast<double>(log_softmax.size(1)));
  }
  metrics[1].add_(log_softmax.argmax(1).eq(labels).sum());
  const Gradient of(terms, log_softmax.size(1));
  return torch::full_like(log_softmax, of.other).scatter_(1, places, of.label);
}

}  // namespace

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels,
                            const CrossEntropy& terms, const torch::Tensor& metrics) {
  torch::NoGradGuard no_grad;
  const torch::Tensor values = logits.detach().to(torch::kFloat32).contiguous();
  const torch::Tensor log_softmax = torch::log_softmax(values, 1);
  const auto likelihood = values.is_cpu() ? likelihood_on_cpu : likelihood_on_device;
  // What autograd calls, so that the gradient has its bits.
  return torch::_log_softmax_backward_data(likelihood(log_softmax, labels, terms, metrics),
                                           log_softmax, 1, torch::kFloat32)
      .to(logits.scalar_type());
}

}  // namespace cifar

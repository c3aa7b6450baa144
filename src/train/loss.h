// Cross-entropy over a softmax, and its gradient without recording: a dozen small operations of
// autograd would cost a shard as much as the convolutions of a few images.
#pragma once

#include <torch/types.h>

namespace cifar {

// With K classes and smoothing e, a sample's loss is torch's: (1 - e) of -log p(label), and e / K
// of the sum of -log p over all classes.
struct CrossEntropy {
  double loss_scale = 1;      // of the loss in the metrics
  double gradient_scale = 1;  // of the gradient of the samples' sum
  double label_smoothing = 0;
};

// logits [batch, classes], labels int64 [batch], metrics float32 [at least 2], all on one device.
// Adds to metrics[0] the samples' losses, summed in order and times loss_scale, and to metrics[1]
// the number of samples whose label is the likeliest class (the first of equals). Returns the
// gradient of the losses' sum times gradient_scale, shaped and typed as the logits. Waits for no
// device.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels,
                            const CrossEntropy& terms, const torch::Tensor& metrics);

}  // namespace cifar

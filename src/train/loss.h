// Cross-entropy over a softmax, and its gradient without recording: a dozen small operations of
// autograd would cost a shard as much as the convolutions of a few images.
#pragma once

#include <torch/types.h>

namespace cifar {

// logits [batch, classes], labels int64 [batch], metrics float32 [at least 2], all on one device.
// Adds to metrics[0] the samples' losses, summed in order and times `scale`, and to metrics[1] the
// number of samples whose label is the likeliest class (the first of equals). Returns the gradient
// of metrics[0], shaped and typed as the logits. Waits for no device.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                            const torch::Tensor& metrics);

}  // namespace cifar

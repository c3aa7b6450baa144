// Cross-entropy over a softmax, and its gradient in closed form: softmax minus one at the label
// (Bridle 1990). Forward, backward and the count of right answers in one pass: a dozen small
// operations of autograd would cost as much as a few images' convolutions, once a shard.
#pragma once

#include <torch/types.h>

namespace cifar {

// logits [batch, classes], labels int64 [batch], metrics float32 [at least 2], all on one device.
// Adds to metrics[0] the samples' losses, summed in order and times `scale`, and to metrics[1] the
// number of samples whose label has the largest logit (the first of equals). Returns the gradient
// of metrics[0], shaped and typed as the logits. Waits for no device.
torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& labels, double scale,
                            const torch::Tensor& metrics);

}  // namespace cifar

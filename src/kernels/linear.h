// A linear layer behind a flatten, on the CPU in float32. A matrix library cuts the narrow products
// of few images or outputs badly, and the flatten would bring each image from channels_last into
// the order of the weights; here the weights are turned once a step instead.
//
// An image is [pixels][channels], as channels_last keeps it; weights are [out][channels][pixels],
// as nn.Linear has them behind nn.Flatten. Pixels is 1 where there is no image. As in conv_block.h,
// results have the same bits whatever the vectors' width.
#pragma once

#include <cstdint>

namespace cifar {

struct LinearBlock {
  int64_t pixels, channels, out;

  int64_t features() const { return pixels * channels; }
};

// Weights as the two passes read them: once a change of the weights. `packed` holds zeros at first,
// or an earlier result for the same block.
int64_t packed_weights_size(const LinearBlock& block);
void pack_weights(const LinearBlock& block, const float* weights, float* packed);

// output [images][out] = weights x input + bias; `bias` may be null.
void linear_forward(const LinearBlock& block, int64_t images, const float* input,
                    const float* packed, const float* bias, float* output);

// Writes input_gradients [images][pixels][channels].
void linear_input_gradient(const LinearBlock& block, int64_t images, const float* packed,
                           const float* output_gradients, float* input_gradients);

// Writes, for outputs [first, first + count), the sums over images, in their order; bias_gradients
// may be null.
void linear_weight_gradient(const LinearBlock& block, int64_t images, int64_t first, int64_t count,
                            const float* input, const float* output_gradients,
                            float* weight_gradients, float* bias_gradients);

}  // namespace cifar

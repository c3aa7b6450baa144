// Convolution (+ bias) (+ max-pool) (+ ReLU) as one block on the CPU in float32, forward and
// backward. Max-pool throws most outputs of the convolution away: forward pools before it stores,
// and backward visits only the outputs that receive gradient. Plain pointers; images are
// [height][width][channels], weights [out][ky][kx][in] (channels_last, as the flat state keeps
// them).
//
// Every function works through `images` images one after another in one thread, allocates only its
// scratch, and gives the same bits on any machine that has fused multiply-add, whatever its vector
// width: vector lanes are independent channels. Max-pool gives a tie to the first in row-major
// order and passes NaN on, and the gradient of ReLU is zero at <= 0, as in PyTorch. Where the
// forward pass uses Winograd's method (see uses_winograd), an input that is not finite may make NaN
// of every output of the 2x4 groups that see it, also of those that do not see it themselves.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cifar {

// No pooling is pool 1, pool_stride 1. Windows never reach over the edge of the convolution's
// output.
struct ConvBlock {
  int64_t in_channels, height, width;  // of the input
  int64_t out_channels;
  int64_t kernel = 3, stride = 1, padding = 1;
  int64_t pool = 1, pool_stride = 1;
  bool relu = true;

  int64_t conv_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t conv_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  int64_t out_height() const { return (conv_height() - pool) / pool_stride + 1; }
  int64_t out_width() const { return (conv_width() - pool) / pool_stride + 1; }
  int64_t input_size() const { return height * width * in_channels; }
  int64_t output_size() const { return out_height() * out_width() * out_channels; }
  int64_t patch_row() const { return kernel * in_channels; }  // contiguous in image and weights
  int64_t weight_size() const { return out_channels * kernel * patch_row(); }
};

// Whether the functions below take this block: a kernel of 1, 3 or 5, windows of at most
// kMaxPoolTaps pixels, and an output of at least one.
constexpr int64_t kMaxPoolTaps = 255;
bool can_compute(const ConvBlock& block);

// 3x3 with stride 1 and enough channels goes through Winograd's method with 2x4 outputs at a time
// (winograd-inl.h): 3 times fewer multiplications. Its error against float64, root mean square,
// beside that of LibTorch's direct summation: 1.8 times at 16 channels, 1.2 at 32, 0.9 at 64, 0.5
// at 256 (random values, ReLU on the inputs; model_conv_block_test.cpp).
bool uses_winograd(const ConvBlock& block);

// Weights as the two passes read them: once a change of the weights, for all images and threads.
// `packed` holds zeros at first, or an earlier result for the same block.
int64_t packed_weights_size(const ConvBlock& block);
void pack_weights(const ConvBlock& block, const float* weights, float* packed);

// For each output: which pixel of its window won (row-major), or kNoWinner where ReLU cut it off.
constexpr uint8_t kNoWinner = 255;

// `bias` may be null. `winners` (output_size() an image) may be null where no backward follows.
void conv_block_forward(const ConvBlock& block, int64_t images, const float* input,
                        const float* packed, const float* bias, float* output, uint8_t* winners);

// Writes weight_gradients, summed over at least one image, and bias_gradients and input_gradients
// unless they are null.
void conv_block_backward(const ConvBlock& block, int64_t images, const float* input,
                         const float* packed, const uint8_t* winners, const float* output_gradients,
                         float* weight_gradients, float* bias_gradients, float* input_gradients);

// False where this machine leaves the kernels plain loops: they are right there, but slow.
bool has_vectors();

// The instruction set in use, as Highway calls it ("AVX3" is AVX-512).
const char* instruction_set();

}  // namespace cifar

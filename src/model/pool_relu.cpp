#include "model/pool_relu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "base/instruction_sets.h"

namespace cifar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int32_t kNone = -1;            // no input of the window gets a gradient: ReLU cut it off
constexpr int64_t kPixelsAThread = 256;  // output pixels that are worth a thread
constexpr auto kOrder = at::MemoryFormat::ChannelsLast;

struct Windows {
  int64_t height, width, channels;  // of the output
  int64_t kernel;

  int32_t taps() const { return static_cast<int32_t>(kernel * kernel); }
  int64_t input_width() const { return width * kernel; }
  // The input pixel at the corner of the window that output pixel `index` of the batch looks at.
  int64_t corner(int64_t index) const {
    const int64_t x = index % width, row = index / width;  // rows of all images, one after another
    return (row * kernel * input_width() + x * kernel) * channels;
  }
  int64_t offset(int64_t tap) const {
    return (tap / kernel * input_width() + tap % kernel) * channels;
  }
};

// Output pixels [begin, end) of the batch. The loops over channels are plain enough for the
// compiler to vectorise; what they go over again and again stays in the first-level cache.
CIFAR_FOR_EACH_ISA
void forward_pixels(const Windows windows, int64_t begin, int64_t end, const float* input,
                    float* output, int32_t* winners) {
  const int64_t channels = windows.channels;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const float* __restrict corner = input + windows.corner(pixel);
    float* __restrict best = output + pixel * channels;
    int32_t* __restrict winner = winners + pixel * channels;
    for (int64_t c = 0; c < channels; ++c) {
      best[c] = corner[c];
      winner[c] = 0;
    }
    for (int32_t tap = 1; tap < windows.taps(); ++tap) {
      const float* __restrict value = corner + windows.offset(tap);
      for (int64_t c = 0; c < channels; ++c) {
        const bool wins = (value[c] > best[c]) | (value[c] != value[c]);  // NaN is passed on
        winner[c] = wins ? tap : winner[c];
        best[c] = wins ? value[c] : best[c];
      }
    }
    for (int64_t c = 0; c < channels; ++c) {
      winner[c] = best[c] <= 0 ? kNone : winner[c];
      best[c] = best[c] <= 0 ? 0.0f : best[c];
    }
  }
}

// Writes every pixel of the windows: the gradient where the winner was, zeros elsewhere.
CIFAR_FOR_EACH_ISA
void backward_pixels(const Windows windows, int64_t begin, int64_t end, const float* gradients,
                     const int32_t* winners, float* output) {
  const int64_t channels = windows.channels;
  for (int64_t pixel = begin; pixel < end; ++pixel) {
    const float* __restrict gradient = gradients + pixel * channels;
    const int32_t* __restrict winner = winners + pixel * channels;
    for (int32_t tap = 0; tap < windows.taps(); ++tap) {
      float* __restrict out = output + windows.corner(pixel) + windows.offset(tap);
      for (int64_t c = 0; c < channels; ++c) out[c] = winner[c] == tap ? gradient[c] : 0.0f;
    }
  }
}

class PoolRelu : public torch::autograd::Function<PoolRelu> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& given,
                               int64_t kernel) {
    const torch::Tensor input = given.contiguous(kOrder);
    const Windows windows{input.size(2) / kernel, input.size(3) / kernel, input.size(1), kernel};
    auto output = torch::empty({input.size(0), windows.channels, windows.height, windows.width},
                               input.options().memory_format(kOrder));
    auto winner = torch::empty(output.sizes(), output.options().dtype(torch::kInt32), kOrder);
    const float* in = input.const_data_ptr<float>();
    float* out = output.mutable_data_ptr<float>();
    int32_t* won = winner.mutable_data_ptr<int32_t>();
    at::parallel_for(
        0, output.numel() / windows.channels, kPixelsAThread,
        [&](int64_t begin, int64_t end) { forward_pixels(windows, begin, end, in, out, won); });
    context->save_for_backward({winner});
    context->saved_data["kernel"] = kernel;
    return output;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const torch::Tensor winner = context->get_saved_variables()[0];
    const int64_t kernel = context->saved_data["kernel"].toInt();
    const torch::Tensor gradient = gradients[0].contiguous(kOrder);
    const Windows windows{winner.size(2), winner.size(3), winner.size(1), kernel};
    auto result = torch::empty(
        {winner.size(0), windows.channels, windows.height * kernel, windows.width * kernel},
        gradient.options().memory_format(kOrder));
    const float* in = gradient.const_data_ptr<float>();
    const int32_t* won = winner.const_data_ptr<int32_t>();
    float* out = result.mutable_data_ptr<float>();
    at::parallel_for(
        0, winner.numel() / windows.channels, kPixelsAThread,
        [&](int64_t begin, int64_t end) { backward_pixels(windows, begin, end, in, won, out); });
    return {result, torch::Tensor()};
  }
};

}  // namespace

bool can_pool_relu(const torch::Tensor& input, int64_t kernel, int64_t stride) {
  return input.is_cpu() && input.scalar_type() == torch::kFloat32 && kernel == stride &&
         input.size(2) % kernel == 0 && input.size(3) % kernel == 0;
}

torch::Tensor pool_relu(const torch::Tensor& input, int64_t kernel) {
  return PoolRelu::apply(input, kernel);
}

}  // namespace cifar

#include "model/pool_relu.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "base/instruction_sets.h"

namespace cifar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr uint8_t kNone = 255;  // no input of the window gets a gradient: ReLU cut it off
constexpr int64_t kLanes = 16;
constexpr auto kOrder = at::MemoryFormat::ChannelsLast;

struct Windows {
  int64_t height, width, channels;  // of the output
  int64_t kernel;

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

// `count` channels, at most kLanes, of one window.
CIFAR_FOR_EACH_ISA
void forward_lanes(const Windows& windows, const float* corner, int64_t count, float* out,
                   uint8_t* winner) {
  float best[kLanes];
  int32_t index[kLanes] = {};
  for (int64_t c = 0; c < count; ++c) best[c] = corner[c];
  for (int64_t tap = 1; tap < windows.kernel * windows.kernel; ++tap) {
    const float* input = corner + windows.offset(tap);
    for (int64_t c = 0; c < count; ++c) {
      const bool wins = (input[c] > best[c]) | (input[c] != input[c]);
      best[c] = wins ? input[c] : best[c];
      index[c] = wins ? static_cast<int32_t>(tap) : index[c];
    }
  }
  for (int64_t c = 0; c < count; ++c) {
    out[c] = best[c] <= 0 ? 0.0f : best[c];
    winner[c] = static_cast<uint8_t>(best[c] <= 0 ? kNone : index[c]);
  }
}

// Writes every pixel of the window: the gradient where the winner was, zeros elsewhere.
CIFAR_FOR_EACH_ISA
void backward_lanes(const Windows& windows, const float* gradient, const uint8_t* winner,
                    int64_t count, float* corner) {
  for (int64_t tap = 0; tap < windows.kernel * windows.kernel; ++tap) {
    float* out = corner + windows.offset(tap);
    const auto me = static_cast<uint8_t>(tap);
    for (int64_t c = 0; c < count; ++c) out[c] = winner[c] == me ? gradient[c] : 0.0f;
  }
}

// Calls lanes(corner, channel, count) for runs of channels of every window of the batch.
template <typename Lanes>
void for_each_window(const Windows& windows, int64_t pixels, const Lanes& lanes) {
  at::parallel_for(0, pixels, 256, [&](int64_t begin, int64_t end) {
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const int64_t corner = windows.corner(pixel), out = pixel * windows.channels;
      for (int64_t c = 0; c < windows.channels; c += kLanes) {
        lanes(corner + c, out + c, std::min(kLanes, windows.channels - c));
      }
    }
  });
}

class PoolRelu : public torch::autograd::Function<PoolRelu> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& given,
                               int64_t kernel) {
    const torch::Tensor input = given.contiguous(kOrder);
    const Windows windows{input.size(2) / kernel, input.size(3) / kernel, input.size(1), kernel};
    auto output = torch::empty({input.size(0), windows.channels, windows.height, windows.width},
                               input.options().memory_format(kOrder));
    auto winner = torch::empty(output.sizes(), output.options().dtype(torch::kUInt8), kOrder);
    const float* in = input.const_data_ptr<float>();
    float* out = output.mutable_data_ptr<float>();
    uint8_t* won = winner.mutable_data_ptr<uint8_t>();
    for_each_window(windows, output.numel() / windows.channels,
                    [&](int64_t corner, int64_t at, int64_t count) {
                      forward_lanes(windows, in + corner, count, out + at, won + at);
                    });
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
    const uint8_t* won = winner.const_data_ptr<uint8_t>();
    float* out = result.mutable_data_ptr<float>();
    for_each_window(windows, winner.numel() / windows.channels,
                    [&](int64_t corner, int64_t at, int64_t count) {
                      backward_lanes(windows, in + at, won + at, count, out + corner);
                    });
    return {result, torch::Tensor()};
  }
};

}  // namespace

bool can_pool_relu(const torch::Tensor& input, int64_t kernel, int64_t stride) {
  return input.is_cpu() && input.scalar_type() == torch::kFloat32 && kernel == stride &&
         kernel * kernel < kNone && input.size(2) % kernel == 0 && input.size(3) % kernel == 0;
}

torch::Tensor pool_relu(const torch::Tensor& input, int64_t kernel) {
  return PoolRelu::apply(input, kernel);
}

}  // namespace cifar

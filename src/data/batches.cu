#include "data/batches_kernel.h"
#include "data/image_set.h"

namespace cifar {
namespace {

constexpr int kThreads = 256;

// One block an image. The image is read whole into shared memory in 16-byte words, so that crop and
// flip, which permute its bytes, cost no scattered reads of global memory; each thread then writes
// 16 bytes next to its neighbour's.
__global__ void __launch_bounds__(kThreads)
    gather(const __grid_constant__ GatherArguments arguments) {
  __shared__ uint4 words[kImageBytes / sizeof(uint4)];
  const Augmentation& augmentation = arguments.augmentation;
  const int64_t position = blockIdx.x;
  const StepValues now = *arguments.now;
  const int32_t sample = arguments.order[now.first + arguments.offset + position];
  const auto* source =
      reinterpret_cast<const uint4*>(arguments.images + static_cast<int64_t>(sample) * kImageBytes);
  for (int i = threadIdx.x; i < kImageBytes / static_cast<int>(sizeof(uint4)); i += kThreads) {
    words[i] = source[i];
  }
  if (threadIdx.x == 0) {
    arguments.out_labels[position] = arguments.labels[sample];
    arguments.out_samples[position] = sample;
  }
  const Transform transform =
      transform_of(augmentation, kImageSize, now.seed, static_cast<uint32_t>(now.epoch), sample);
  __syncthreads();

  const auto* image = reinterpret_cast<const uint8_t*>(words);
  auto* out = reinterpret_cast<float4*>(arguments.out_images + position * kImageBytes);
  for (int i = threadIdx.x; i < kImageBytes / 4; i += kThreads) {
    float value[4];
    for (int j = 0; j < 4; ++j) {
      const int pixel = (4 * i + j) / kChannels;
      const int channel = (4 * i + j) % kChannels;
      value[j] = augmented(image + channel * kPixels, kImageSize, transform, augmentation.reflect,
                           pixel % kImageSize, pixel / kImageSize, augmentation.mean[channel],
                           augmentation.std[channel]);
    }
    out[i] = make_float4(value[0], value[1], value[2], value[3]);
  }
}

}  // namespace

void launch_gather(const GatherArguments& arguments, cudaStream_t stream) {
  gather<<<static_cast<unsigned>(arguments.count), kThreads, 0, stream>>>(arguments);
}

}  // namespace cifar

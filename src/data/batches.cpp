#include "data/batches.h"

#include <algorithm>
#include <cstring>
#include <utility>

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "data/batches_kernel.h"
#endif

namespace cifar {
namespace {

Augmentation make_augmentation(const AugmentationConfig& config, bool augment) {
  Augmentation augmentation = {
      augment && config.flip, augment ? static_cast<int>(config.crop_padding) : 0, {}, {}};
  for (int c = 0; c < kChannels; ++c) {
    augmentation.mean[c] = static_cast<float>(config.mean.at(c));
    augmentation.std[c] = static_cast<float>(config.std.at(c));
  }
  return augmentation;
}

}  // namespace

ResidentSet::ResidentSet(const ImageSet& set, torch::Device device) : set_(set), device_(device) {
  if (device.is_cpu()) return;
  const torch::Tensor images =
      torch::empty({set.size(), kChannels, kImageSize, kImageSize}, torch::kUInt8);
  const torch::Tensor labels = torch::empty({set.size()}, torch::kUInt8);
  for (int64_t i = 0; i < set.size(); ++i) {
    std::memcpy(images.data_ptr<uint8_t>() + i * kImageBytes, set.image(i), kImageBytes);
    labels.data_ptr<uint8_t>()[i] = set.label(i);
  }
  images_ = images.to(device);
  labels_ = labels.to(device);
}

Batches::Batches(std::shared_ptr<const ResidentSet> set, const AugmentationConfig& config,
                 bool augment, uint64_t seed)
    : set_(std::move(set)), augmentation_(make_augmentation(config, augment)), seed_(seed) {
  for (int c = 0; c < kChannels; ++c) {
    for (int value = 0; value < 256; ++value) {
      normalised_[c][value] =
          normalised(static_cast<uint8_t>(value), augmentation_.mean[c], augmentation_.std[c]);
    }
  }
  set_order({}, 0);
  reserve(1);
}

void Batches::set_order(const std::vector<int32_t>& order, int64_t epoch) {
  epoch_ = static_cast<uint32_t>(epoch);
  length_ = static_cast<int64_t>(order.size());
  const auto device = set_->device();
  if (!order_.defined() || order_.size(0) < length_) {
    order_ = torch::empty({length_}, torch::TensorOptions(torch::kInt32).device(device));
  }
  // A new pinned buffer each time: LibTorch's host allocator hands it out again only when the copy
  // out of it is done, so neither side waits.
  const torch::Tensor host =
      torch::empty({length_}, torch::TensorOptions(torch::kInt32).pinned_memory(device.is_cuda()));
  std::copy(order.begin(), order.end(), host.data_ptr<int32_t>());
  order_.narrow(0, 0, length_).copy_(host, /*non_blocking=*/true);
}

Batch Batches::get(int64_t first, int64_t count) {
  TORCH_CHECK(first >= 0 && count >= 0 && first + count <= length_, "samples [", first, ", ",
              first + count, ") of an order of ", length_);
  reserve(count);
  Batch batch = {images_.narrow(0, 0, count), labels_.narrow(0, 0, count),
                 order_.narrow(0, first, count)};
  if (count > 0) gather(batch);
  return batch;
}

void Batches::reserve(int64_t count) {
  if (images_.defined() && images_.size(0) >= count) return;
  const auto device = set_->device();
  images_ = torch::empty({count, kChannels, kImageSize, kImageSize},
                         torch::TensorOptions(torch::kFloat32).device(device),
                         torch::MemoryFormat::ChannelsLast);
  labels_ = torch::empty({count}, torch::TensorOptions(torch::kInt64).device(device));
}

void Batches::gather(const Batch& batch) const {
  const int32_t* samples = batch.samples.const_data_ptr<int32_t>();
  float* images = batch.images.mutable_data_ptr<float>();
  int64_t* labels = batch.labels.mutable_data_ptr<int64_t>();
  const int64_t count = batch.labels.size(0);
#if CIFAR_HAS_CUDA
  if (set_->device().is_cuda()) {
    const c10::cuda::CUDAGuard guard(set_->device());
    launch_gather(
        {set_->images().const_data_ptr<uint8_t>(), set_->labels().const_data_ptr<uint8_t>(),
         samples, count, augmentation_, seed_, epoch_, images, labels},
        c10::cuda::getCurrentCUDAStream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return;
  }
#endif
  // One thread: two microseconds an image, against a thousand in its forward and backward pass.
  for (int64_t i = 0; i < count; ++i) {
    gather_one(samples[i], images + i * kImageBytes);
    labels[i] = set_->set().label(samples[i]);
  }
}

// Tables instead of arithmetic: two divisions a value cost more than a look-up in 3 KB, and the
// bits are those of normalised() by construction.
void Batches::gather_one(int32_t sample, float* out) const {
  const Placement placement = place(augmentation_, seed_, epoch_, static_cast<uint32_t>(sample));
  const uint8_t* image = set_->set().image(sample);
  const int step = placement.mirrored ? -1 : 1;
  // Output columns [begin, end) come from the image, the others from the padding.
  const int shift = placement.mirrored ? -placement.dx : placement.dx;
  const int begin = std::clamp(-shift, 0, kImageSize);
  const int end = std::clamp(kImageSize - shift, 0, kImageSize);
  const float black[kChannels] = {normalised_[0][0], normalised_[1][0], normalised_[2][0]};
  const auto blacken = [out, &black](int y, int from, int to) {
    for (int x = from; x < to; ++x) {
      std::copy_n(black, kChannels, out + (y * kImageSize + x) * kChannels);
    }
  };
  for (int y = 0; y < kImageSize; ++y) {
    const int from_y = source_y(placement, y);
    if (from_y < 0 || from_y >= kImageSize || begin == end) {
      blacken(y, 0, kImageSize);
      continue;
    }
    blacken(y, 0, begin);
    const uint8_t* from = image + from_y * kImageSize + source_x(placement, begin, kImageSize);
    float* to = out + (y * kImageSize + begin) * kChannels;
    for (int x = begin; x < end; ++x, from += step, to += kChannels) {
      to[0] = normalised_[0][from[0]];
      to[1] = normalised_[1][from[kPixels]];
      to[2] = normalised_[2][from[2 * kPixels]];
    }
    blacken(y, end, kImageSize);
  }
}

}  // namespace cifar

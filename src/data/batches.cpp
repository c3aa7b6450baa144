#include "data/batches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "data/upload.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "data/batches_kernel.h"
#endif

namespace cifar {
namespace {

Flip flip_of(const std::string& how) {
  if (how == "random") return Flip::kRandom;
  return how == "alternating" ? Flip::kAlternating : Flip::kNone;
}

Augmentation make_augmentation(const AugmentationConfig& config, bool augment) {
  Augmentation augmentation;
  for (int c = 0; c < kChannels; ++c) {
    augmentation.mean[c] = static_cast<float>(config.mean.at(c));
    augmentation.std[c] = static_cast<float>(config.std.at(c));
  }
  augmentation.reflect = !augment || config.padding_mode == "reflect";
  if (!augment) return augmentation;
  if (augmentation.reflect && config.crop_padding >= kImageSize) {
    throw Error(ExitCode::kUsage, "augmentation.crop_padding",
                fmt::format("{} with padding_mode reflect", config.crop_padding),
                fmt::format("fewer than the image's {} pixels", kImageSize));
  }
  augmentation.flip = flip_of(config.flip);
  augmentation.padding = static_cast<int>(config.crop_padding);
  augmentation.cutout = static_cast<int>(config.cutout);
  augmentation.brightness = static_cast<float>(config.brightness);
  augmentation.contrast = static_cast<float>(config.contrast);
  return augmentation;
}

void put_pixel(const Colours& colours, const uint8_t* from, float* to) {
  to[0] = colours[0][from[0]];
  to[1] = colours[1][from[kPixels]];
  to[2] = colours[2][from[2 * kPixels]];
}

// Crop and flip, row by row.
void copy_pixels(const uint8_t* image, const Placement& placement, bool reflect,
                 const Colours& colours, float* out) {
  const int step = placement.mirrored ? -1 : 1;
  // Output columns [begin, end) come from the image, the others from the padding.
  const int shift = placement.mirrored ? -placement.dx : placement.dx;
  const int begin = std::clamp(-shift, 0, kImageSize);
  const int end = std::clamp(kImageSize - shift, 0, kImageSize);
  const float black[kChannels] = {colours[0][0], colours[1][0], colours[2][0]};
  for (int y = 0; y < kImageSize; ++y, out += kImageSize * kChannels) {
    const int placed_y = source_y(placement, y);
    const int from_y = reflect ? reflected(placed_y, kImageSize) : placed_y;
    const uint8_t* row = image + from_y * kImageSize;  // perhaps outside, then not read
    const auto pad = [&](int from, int to) {
      for (int x = from; x < to; ++x) {
        if (reflect) {
          const int from_x = reflected(source_x(placement, x, kImageSize), kImageSize);
          put_pixel(colours, row + from_x, out + x * kChannels);
        } else {
          std::copy_n(black, kChannels, out + x * kChannels);
        }
      }
    };
    if (from_y < 0 || from_y >= kImageSize || begin == end) {
      pad(0, kImageSize);
      continue;
    }
    pad(0, begin);
    const uint8_t* from = row + source_x(placement, begin, kImageSize);
    float* to = out + begin * kChannels;
    for (int x = begin; x < end; ++x, from += step, to += kChannels) put_pixel(colours, from, to);
    pad(end, kImageSize);
  }
}

// A shuffled epoch's images lie anywhere in memory: asked for while the one before is in work.
void fetch_ahead(const uint8_t* image) {
  constexpr int kLine = 64;
  for (int i = 0; i < kImageBytes; i += kLine) __builtin_prefetch(image + i);
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
  length_ = static_cast<int64_t>(order.size());
  const torch::TensorOptions on_device(set_->device());
  if (!order_.defined() || order_.size(0) < length_) {
    order_ = torch::empty({length_}, on_device.dtype(torch::kInt32));
  }
  if (!values_.defined()) {
    values_ = torch::empty({int64_t{sizeof(StepValues)}}, on_device.dtype(torch::kUInt8));
  }
  const StepValues values{.epoch = epoch, .seed = seed_};
  upload(order.data(), order_.narrow(0, 0, length_));
  upload(&values, values_);
}

Batch Batches::get(const StepValues* now, int64_t offset, int64_t count) {
  return gather({order_.const_data_ptr<int32_t>(), now, offset}, count, augmentation_);
}

Batch Batches::get(int64_t first, int64_t count) {
  TORCH_CHECK(first >= 0 && count >= 0 && first + count <= length_, "samples [", first, ", ",
              first + count, ") of an order of ", length_);
  return get(values(), first, count);
}

Batch Batches::get(const torch::Tensor& samples, const Placement& view) {
  Augmentation augmentation = augmentation_;
  TORCH_CHECK(augmentation.flip == Flip::kNone && augmentation.padding == 0,
              "views of moved images");
  augmentation.view = view;
  return gather({samples.const_data_ptr<int32_t>(), values(), 0}, samples.size(0), augmentation);
}

const StepValues* Batches::values() const {
  return static_cast<const StepValues*>(values_.const_data_ptr());
}

Batch Batches::gather(const Source& source, int64_t count, const Augmentation& augmentation) {
  reserve(count);
  const Batch batch = {images_.narrow(0, 0, count), labels_.narrow(0, 0, count),
                       samples_.narrow(0, 0, count)};
  if (count > 0) fill(batch, source, augmentation);
  return batch;
}

void Batches::reserve(int64_t count) {
  if (images_.defined() && images_.size(0) >= count) return;
  const torch::TensorOptions on_device(set_->device());
  images_ = torch::empty({count, kChannels, kImageSize, kImageSize},
                         on_device.dtype(torch::kFloat32), torch::MemoryFormat::ChannelsLast);
  labels_ = torch::empty({count}, on_device.dtype(torch::kInt64));
  samples_ = torch::empty({count}, on_device.dtype(torch::kInt32));
}

void Batches::fill(const Batch& batch, const Source& source,
                   const Augmentation& augmentation) const {
  float* images = batch.images.mutable_data_ptr<float>();
  int64_t* labels = batch.labels.mutable_data_ptr<int64_t>();
  int32_t* samples = batch.samples.mutable_data_ptr<int32_t>();
  const int64_t count = batch.labels.size(0);
#if CIFAR_HAS_CUDA
  if (set_->device().is_cuda()) {
    const c10::cuda::CUDAGuard guard(set_->device());
    launch_gather(
        {set_->images().const_data_ptr<uint8_t>(), set_->labels().const_data_ptr<uint8_t>(),
         source.order, source.now, source.offset, count, augmentation, images, labels, samples},
        c10::cuda::getCurrentCUDAStream());
    C10_CUDA_KERNEL_LAUNCH_CHECK();
    return;
  }
#endif
  // One thread: two microseconds an image, against a thousand in its forward and backward pass.
  const int32_t* order = source.order + source.now->first + source.offset;
  for (int64_t i = 0; i < count; ++i) {
    if (i + 1 < count) fetch_ahead(set_->set().image(order[i + 1]));
    fill_image(order[i], *source.now, augmentation, images + i * kImageBytes);
    labels[i] = set_->set().label(order[i]);
    samples[i] = order[i];
  }
}

// Tables instead of arithmetic: two divisions a value cost more than a look-up in 3 KB, and the
// bits are those of augmented() by construction. A jitter makes a table for its image.
void Batches::fill_image(int32_t sample, const StepValues& now, const Augmentation& augmentation,
                         float* out) const {
  const Transform transform =
      transform_of(augmentation, kImageSize, now.seed, static_cast<uint32_t>(now.epoch),
                   static_cast<uint32_t>(sample));
  const uint8_t* image = set_->set().image(sample);
  if (augmentation.brightness > 0 || augmentation.contrast > 0) {
    Colours colours;
    for (int c = 0; c < kChannels; ++c) {
      for (int value = 0; value < 256; ++value) {
        colours[c][value] = jittered(normalised_[c][value], transform.jitter);
      }
    }
    copy_pixels(image, transform.placement, augmentation.reflect, colours, out);
  } else {
    copy_pixels(image, transform.placement, augmentation.reflect, normalised_, out);
  }
  const Square& cutout = transform.cutout;
  for (int y = cutout.y; y < cutout.y + cutout.size; ++y) {
    std::fill_n(out + (y * kImageSize + cutout.x) * kChannels, cutout.size * kChannels, 0.0f);
  }
}

}  // namespace cifar

// A step's images, gathered from the uint8 set, augmented and normalised in one pass, on the CPU or
// the GPU. Neither memory nor the device's attention is asked for in a step: the buffers are made
// for the largest batch so far, and what changes lies in tables uploaded once an epoch.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/step_values.h"
#include "config/config.h"
#include "data/augment.h"
#include "data/image_set.h"

namespace cifar {

// An ImageSet where a device can read it: itself on the CPU, a copy made once on the GPU.
class ResidentSet {
 public:
  ResidentSet(const ImageSet& set, torch::Device device);

  const ImageSet& set() const { return set_; }
  torch::Device device() const { return device_; }
  // uint8, [N, 3, 32, 32] and [N], contiguous; on the GPU alone.
  const torch::Tensor& images() const { return images_; }
  const torch::Tensor& labels() const { return labels_; }

 private:
  ImageSet set_;
  torch::Device device_;
  torch::Tensor images_;
  torch::Tensor labels_;
};

struct Batch {
  torch::Tensor images;   // [n, 3, 32, 32] float32, channels_last
  torch::Tensor labels;   // [n] int64
  torch::Tensor samples;  // [n] int32, each image's index in its ImageSet
};

// What each value of a pixel becomes, by channel.
using Colours = std::array<std::array<float, 256>, kChannels>;

class Batches {
 public:
  // Without `augment` images are only normalised; `seed` is of no effect then. Error(kUsage) for a
  // reflected padding of more than the image has.
  Batches(std::shared_ptr<const ResidentSet> set, const AugmentationConfig& config, bool augment,
          uint64_t seed);

  // The order of an epoch: indices into the set. On the GPU ordered by the current stream.
  void set_order(const std::vector<int32_t>& order, int64_t epoch);

  // Samples [offset, offset + count) of a step's, by the values of a step that lie on the device:
  // epoch, seed and the place in the order are read there, so that this may be captured. The order
  // must not grow, nor a larger batch come, while what was captured is in use.
  Batch get(const StepValues* now, int64_t offset, int64_t count);

  // Samples [first, first + count) of the order; count may be 0. Views, valid until the next get()
  // or set_order(); on the GPU ordered by the current stream.
  Batch get(int64_t first, int64_t count);
  // The images that `samples` names, int32 on the set's device, as `view` shows each; what a view
  // of moved images lacks is reflected. For Batches without `augment`.
  Batch get(const torch::Tensor& samples, const Placement& view);

  // Makes room for batches of `count` images.
  void reserve(int64_t count);

  // The current order, int32, on the set's device.
  torch::Tensor order() const { return order_.narrow(0, 0, length_); }
  const std::shared_ptr<const ResidentSet>& set() const { return set_; }

 private:
  // Where a batch's samples come from.
  struct Source {
    const int32_t* order;
    const StepValues* now;
    int64_t offset;
  };

  Batch gather(const Source& source, int64_t count, const Augmentation& augmentation);
  void fill(const Batch& batch, const Source& source, const Augmentation& augmentation) const;
  void fill_image(int32_t sample, const StepValues& now, const Augmentation& augmentation,
                  float* out) const;
  const StepValues* values() const;

  std::shared_ptr<const ResidentSet> set_;
  Augmentation augmentation_;
  uint64_t seed_;
  Colours normalised_;
  torch::Tensor values_;   // uint8 [sizeof(StepValues)]: this epoch's, with first 0
  torch::Tensor order_;    // [length of the longest order] int32
  int64_t length_ = 0;     // of the current order
  torch::Tensor images_;   // [largest batch, 3, 32, 32] float32, channels_last
  torch::Tensor labels_;   // [largest batch] int64
  torch::Tensor samples_;  // [largest batch] int32
};

}  // namespace cifar

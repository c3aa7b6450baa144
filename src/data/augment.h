// What one image and one of its pixels go through: torchvision's RandomCrop(32, padding) of the
// uint8 image, padded with black or by reflection, RandomHorizontalFlip, ToTensor, Normalize, a
// colour jitter and a cutout, in this order. The CPU loop and the CUDA kernel call these same
// functions, so that both give the same bits.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/random.h"

namespace cifar {

enum class Flip { kNone, kRandom, kAlternating };

// The cropped window is moved by (dx, dy) over the image, and mirrored afterwards.
struct Placement {
  int dx = 0;
  int dy = 0;
  bool mirrored = false;
};

struct Augmentation {
  Flip flip = Flip::kNone;
  int padding = 0;       // pixels, at least 0; below the image's size with `reflect`
  bool reflect = false;  // what lies outside is the image reflected at its edge pixels, else black
  int cutout = 0;        // side of the square, 0 to the image's size
  float brightness = 0;  // at least 0
  float contrast = 0;    // 0 to 1
  Placement view = {};   // of every image when neither flip nor padding are on
  float mean[3] = {0, 0, 0};  // of red, green, blue; pixels count from 0 to 1
  float std[3] = {1, 1, 1};
};

// A normalised value v becomes (v + shift) * scale, as in github.com/hiverge/cifar10-speedrun.
struct Jitter {
  float shift = 0;
  float scale = 1;
};

// Columns [x, x + size) of rows [y, y + size).
struct Square {
  int x = 0;
  int y = 0;
  int size = 0;
};

// All that an epoch's draws decide about an image. Each is a pure function of (seed, epoch, image):
// it depends neither on the batch nor on the rank that draws it.
struct Transform {
  Placement placement = {};
  Jitter jitter = {};
  Square cutout = {};
};

// dx and dy are uniform in [-padding, padding]. A flip has probability 1/2: random, in each epoch
// anew; alternating, once, and in odd epochs the other way round, so that two epochs in a row show
// an image from both sides.
CIFAR_HOST_DEVICE inline Placement place(const Augmentation& augmentation, uint64_t seed,
                                         uint32_t epoch, uint32_t image) {
  if (augmentation.flip == Flip::kNone && augmentation.padding == 0) return augmentation.view;
  const Random4 random = draw(seed, Purpose::kAugment, epoch, image);
  const uint32_t shifts = 2 * static_cast<uint32_t>(augmentation.padding) + 1;
  Placement placement;
  placement.dx = static_cast<int>(below(random.word[0], shifts)) - augmentation.padding;
  placement.dy = static_cast<int>(below(random.word[1], shifts)) - augmentation.padding;
  if (augmentation.flip == Flip::kRandom) {
    placement.mirrored = (random.word[2] >> 31) != 0;
  } else if (augmentation.flip == Flip::kAlternating) {
    const uint32_t first = draw(seed, Purpose::kAugment, 0, image).word[2] >> 31;
    placement.mirrored = (first ^ (epoch & 1)) != 0;
  }
  return placement;
}

// Uniform in [-1, 1), a multiple of 2^-23.
CIFAR_HOST_DEVICE inline float centred_float(uint32_t word) {
  return 2 * unit_float(word) - 1;
}

// The cutout's place is uniform among those wholly inside the image; the jitter's shift is uniform
// in [-brightness, brightness), its scale in [1 - contrast, 1 + contrast).
CIFAR_HOST_DEVICE inline Transform transform_of(const Augmentation& augmentation, int size,
                                                uint64_t seed, uint32_t epoch, uint32_t image) {
  Transform transform;
  transform.placement = place(augmentation, seed, epoch, image);
  if (augmentation.cutout == 0 && augmentation.brightness == 0 && augmentation.contrast == 0) {
    return transform;
  }
  const Random4 random = draw(seed, Purpose::kAugment, epoch, image, 1);
  const auto places = static_cast<uint32_t>(size - augmentation.cutout + 1);
  transform.cutout.x = static_cast<int>(below(random.word[0], places));
  transform.cutout.y = static_cast<int>(below(random.word[1], places));
  transform.cutout.size = augmentation.cutout;
  transform.jitter.shift = augmentation.brightness * centred_float(random.word[2]);
  transform.jitter.scale = 1 + augmentation.contrast * centred_float(random.word[3]);
  return transform;
}

// Where output column x comes from; outside of [0, size) it comes from the padding.
CIFAR_HOST_DEVICE inline int source_x(const Placement& placement, int x, int size) {
  return (placement.mirrored ? size - 1 - x : x) + placement.dx;
}

CIFAR_HOST_DEVICE inline int source_y(const Placement& placement, int y) {
  return y + placement.dy;
}

// torch's reflection_pad2d: the edge pixel is not repeated. For -size < i < 2 * size - 1.
CIFAR_HOST_DEVICE inline int reflected(int i, int size) {
  if (i < 0) return -i;
  return i < size ? i : 2 * size - 2 - i;
}

CIFAR_HOST_DEVICE inline bool covers(const Square& square, int x, int y) {
  return x >= square.x && x < square.x + square.size && y >= square.y && y < square.y + square.size;
}

// ToTensor and Normalize round after each of the three operations; so does this.
CIFAR_HOST_DEVICE inline float normalised(uint8_t value, float mean, float std) {
  return (static_cast<float>(value) / 255.0f - mean) / std;
}

CIFAR_HOST_DEVICE inline float jittered(float value, const Jitter& jitter) {
  return (value + jitter.shift) * jitter.scale;
}

// Output pixel (x, y) of a size x size plane. The cutout is 0, which is the mean colour.
CIFAR_HOST_DEVICE inline float augmented(const uint8_t* plane, int size, const Transform& transform,
                                         bool reflect, int x, int y, float mean, float std) {
  if (covers(transform.cutout, x, y)) return 0;
  int from_x = source_x(transform.placement, x, size);
  int from_y = source_y(transform.placement, y);
  if (reflect) {
    from_x = reflected(from_x, size);
    from_y = reflected(from_y, size);
  }
  const bool inside = from_x >= 0 && from_x < size && from_y >= 0 && from_y < size;
  const uint8_t value = inside ? plane[from_y * size + from_x] : uint8_t{0};
  return jittered(normalised(value, mean, std), transform.jitter);
}

}  // namespace cifar

// What one image and one of its pixels go through: torchvision's RandomCrop(32, padding) of the
// zero-padded uint8 image, RandomHorizontalFlip(1/2), then ToTensor and Normalize. The CPU loop and
// the CUDA kernel call these same functions, so that both give the same bits.
#pragma once

#include <cstdint>

#include "base/host_device.h"
#include "base/random.h"

namespace cifar {

struct Augmentation {
  bool flip;
  int padding;    // pixels, at least 0
  float mean[3];  // of red, green, blue; pixels count from 0 to 1
  float std[3];
};

// The cropped window is moved by (dx, dy) over the image, and mirrored afterwards.
struct Placement {
  int dx;
  int dy;
  bool mirrored;
};

// dx and dy are uniform in [-padding, padding]. A pure function of (seed, epoch, image): it depends
// neither on the batch nor on the rank that draws it.
CIFAR_HOST_DEVICE inline Placement place(const Augmentation& augmentation, uint64_t seed,
                                         uint32_t epoch, uint32_t image) {
  Placement placement = {0, 0, false};
  if (!augmentation.flip && augmentation.padding == 0) return placement;
  const Random4 random = draw(seed, Purpose::kAugment, epoch, image);
  const uint32_t shifts = 2 * static_cast<uint32_t>(augmentation.padding) + 1;
  placement.dx = static_cast<int>(below(random.word[0], shifts)) - augmentation.padding;
  placement.dy = static_cast<int>(below(random.word[1], shifts)) - augmentation.padding;
  placement.mirrored = augmentation.flip && (random.word[2] >> 31) != 0;
  return placement;
}

// Where output column x comes from; outside of [0, size) it comes from the padding.
CIFAR_HOST_DEVICE inline int source_x(const Placement& placement, int x, int size) {
  return (placement.mirrored ? size - 1 - x : x) + placement.dx;
}

CIFAR_HOST_DEVICE inline int source_y(const Placement& placement, int y) {
  return y + placement.dy;
}

// ToTensor and Normalize round after each of the three operations; so does this.
CIFAR_HOST_DEVICE inline float normalised(uint8_t value, float mean, float std) {
  return (static_cast<float>(value) / 255.0f - mean) / std;
}

// Output pixel (x, y) of a size x size plane.
CIFAR_HOST_DEVICE inline float augmented(const uint8_t* plane, int size, const Placement& placement,
                                         int x, int y, float mean, float std) {
  const int from_x = source_x(placement, x, size);
  const int from_y = source_y(placement, y);
  const bool inside = from_x >= 0 && from_x < size && from_y >= 0 && from_y < size;
  return normalised(inside ? plane[from_y * size + from_x] : uint8_t{0}, mean, std);
}

}  // namespace cifar

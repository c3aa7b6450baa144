// uint8 images and labels in the records of CIFAR-10's binary layout: 1 label byte, then 1024 red,
// 1024 green and 1024 blue bytes, each plane row by row
// (https://www.cs.toronto.edu/~kriz/cifar.html). A set is immutable; copies share the bytes.
// Indices are not checked.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace cifar {

constexpr int kImageSize = 32;
constexpr int kChannels = 3;
constexpr int kPixels = kImageSize * kImageSize;
constexpr int kImageBytes = kChannels * kPixels;
constexpr int kRecordBytes = 1 + kImageBytes;
constexpr int kClasses = 10;
constexpr std::array<const char*, kClasses> kClassNames = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

// Records that lie one after another, freed with the last reference.
struct RecordBlock {
  std::shared_ptr<const uint8_t> bytes;
  int64_t records;
};

class ImageSet {
 public:
  ImageSet() = default;
  // All blocks but the last must have the same number of records.
  explicit ImageSet(std::vector<RecordBlock> blocks);

  int64_t size() const { return size_; }
  // kImageBytes bytes: the red, the green and the blue plane.
  const uint8_t* image(int64_t index) const { return record(index) + 1; }
  uint8_t label(int64_t index) const { return *record(index); }
  std::array<int64_t, kClasses> class_counts() const;

 private:
  const uint8_t* record(int64_t index) const {
    return blocks_[index / block_size_].bytes.get() + index % block_size_ * kRecordBytes;
  }

  std::vector<RecordBlock> blocks_;
  int64_t block_size_ = 1;
  int64_t size_ = 0;
};

}  // namespace cifar

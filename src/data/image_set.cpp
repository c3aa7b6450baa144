#include "data/image_set.h"

#include <utility>

namespace cifar {

ImageSet::ImageSet(std::vector<RecordBlock> blocks) : blocks_(std::move(blocks)) {
  for (const RecordBlock& block : blocks_) size_ += block.records;
  if (size_ > 0) block_size_ = blocks_.front().records;
}

std::array<int64_t, kClasses> ImageSet::class_counts() const {
  std::array<int64_t, kClasses> counts = {};
  for (int64_t i = 0; i < size_; ++i) ++counts[label(i)];
  return counts;
}

}  // namespace cifar

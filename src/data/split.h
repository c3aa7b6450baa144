// The seeded split of the training images into those that are trained on and those held out.
#pragma once

#include <cstdint>
#include <vector>

namespace cifar {

struct Split {
  std::vector<int32_t> train;  // indices into the ImageSet
  std::vector<int32_t> val;
};

// The first images - validation_size entries of a permutation that depends on the seed alone train,
// the rest validate. Error(kUsage) unless 0 <= validation_size < images.
Split split_train(int64_t images, int64_t validation_size, uint64_t seed);

}  // namespace cifar

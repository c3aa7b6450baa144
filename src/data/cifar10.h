// CIFAR-10 from the files of cifar-10-binary.tar.gz. Sizes and labels are checked when it is
// opened; what is wrong is an Error(kData) that names the file.
#pragma once

#include <string>

#include "data/image_set.h"

namespace cifar {

constexpr int64_t kTrainImages = 50000;
constexpr int64_t kTestImages = 10000;

struct Dataset {
  ImageSet train;    // kTrainImages
  ImageSet test;     // kTestImages
  std::string name;  // the folder that was read, or "synthetic"
  bool synthetic = false;
};

// `folder` holds data_batch_1.bin ... data_batch_5.bin and test_batch.bin, or is the parent, which
// then holds cifar-10-batches-bin.
Dataset open_cifar10(const std::string& folder);

}  // namespace cifar

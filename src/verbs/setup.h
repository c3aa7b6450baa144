// What training and evaluation set up alike.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "comm/device.h"
#include "config/config.h"
#include "data/cifar10.h"
#include "verbs/verbs.h"

namespace cifar {

// The CIFAR-10 folder, or the synthetic images. Error(kData) when no data set is named.
Dataset open_dataset(const DataConfig& config);

// How many threads LibTorch uses in this rank from now on: as configured, or the rank's cores; one
// beside a GPU.
int64_t set_threads(const TrainConfig& config, const DeviceChoice& device, const World& world);

// Rank 0's text, on every rank.
std::string broadcast_text(std::string text, const World& world, double timeout);

}  // namespace cifar

// What the verbs set up and say alike.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/device.h"
#include "config/config.h"
#include "data/cifar10.h"
#include "verbs/verbs.h"

namespace cifar {

// The CIFAR-10 folder, or the synthetic images. Error(kData) when no data set is named.
Dataset open_dataset(const DataConfig& config);

// Images of a data set and which of them, in order.
struct Samples {
  ImageSet images;
  std::vector<int32_t> order;
};

// `split`: train | val | test.
Samples samples_of(const Dataset& dataset, const DataConfig& config, const std::string& split);
// Error(kUsage) for one that has no images.
Samples open_split(const DataConfig& config, const std::string& split);

// On one line. What is not UTF-8, as file names may be, is replaced.
std::string json_text(const nlohmann::ordered_json& json);

// What is said by the rank becomes what everything else goes by: the global batch and its shards.
void resolve_ranks(TrainConfig& train, int world_size, int64_t shards);

// "AMD EPYC 9V74 80-Core Processor", or the GPU's name.
std::string hardware_of(const DeviceChoice& device);

// How many threads LibTorch uses in this rank from now on: as configured, or the rank's cores; one
// beside a GPU.
int64_t set_threads(const TrainConfig& config, const DeviceChoice& device, const World& world);

// Rank 0's text, on every rank.
std::string broadcast_text(std::string text, const World& world, double timeout);

}  // namespace cifar

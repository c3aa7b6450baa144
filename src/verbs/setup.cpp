#include "verbs/setup.h"

#include <ATen/Parallel.h>

#include <numeric>
#include <sstream>

#include "data/split.h"
#include "data/synthetic.h"
#include "train/run_facts.h"

namespace cifar {

Dataset open_dataset(const DataConfig& config) {
  if (config.path.empty()) {
    throw Error(ExitCode::kData, "no data set", "neither --data nor CIFAR10_DIR is given",
                "--data DIR (launch/fetch-cifar10 DIR gets one), or --data synthetic");
  }
  return config.path == "synthetic" ? make_synthetic() : open_cifar10(config.path);
}

Samples samples_of(const Dataset& dataset, const DataConfig& config, const std::string& split) {
  if (split == "test") {
    std::vector<int32_t> all(dataset.test.size());
    std::iota(all.begin(), all.end(), 0);
    return {dataset.test, all};
  }
  const Split parts = split_train(dataset.train.size(), config.validation_size,
                                  static_cast<uint64_t>(config.split_seed));
  return {dataset.train, split == "val" ? parts.val : parts.train};
}

Samples open_split(const DataConfig& config, const std::string& split) {
  Samples samples = samples_of(open_dataset(config), config, split);
  if (samples.order.empty()) {
    throw Error(ExitCode::kUsage, "--split " + split, "the recipe holds out no images",
                "data.validation_size above 0, or another split");
  }
  return samples;
}

void resolve_ranks(TrainConfig& train, int world_size, int64_t shards) {
  if (train.shards == 0) train.shards = shards;
  if (train.batch_size_per_rank == 0) return;
  train.batch_size = train.batch_size_per_rank * world_size;
  train.batch_size_per_rank = 0;
}

std::string hardware_of(const DeviceChoice& device) {
  if (device.device.is_cpu()) return cpu_name();
  std::istringstream devices(describe_devices());  // a line each
  std::string line;
  for (int index = 0; index <= device.device.index(); ++index) std::getline(devices, line);
  return line;
}

std::string json_text(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

int64_t set_threads(const TrainConfig& config, const DeviceChoice& device, const World& world) {
  const int64_t automatic = device.device.is_cuda() ? 1 : world.cores();
  const int64_t threads = config.threads > 0 ? config.threads : automatic;
  at::set_num_threads(static_cast<int>(threads));
  return threads;
}

std::string broadcast_text(std::string text, const World& world, double timeout) {
  const auto comm = make_communicator(world.size() > 1 ? "mpi" : "self", world, timeout);
  auto length = torch::tensor({static_cast<int64_t>(text.size())}, torch::kInt64);
  comm->broadcast(length, 0);
  // Of its own memory: a broadcast that fails may still write to it.
  const auto bytes = torch::zeros({length.item<int64_t>()}, torch::kUInt8);
  text.copy(static_cast<char*>(bytes.data_ptr()), text.size());
  comm->broadcast(bytes, 0);
  return {static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()};
}

}  // namespace cifar

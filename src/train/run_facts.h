// What a run's settings do not say and its report needs: with what it ran, and on which images.
// Kept as run.json in the run directory, written at each start.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/cifar10.h"
#include "data/split.h"

namespace cifar {

using ClassCounts = std::array<int64_t, kClasses>;

// The images that a run was trained on from a step on.
struct DataUse {
  int64_t step = 0;
  std::string data;  // the folder, or "synthetic"
  std::string hash;

  bool operator==(const DataUse&) const = default;
};

struct RunFacts {
  std::string recipe;    // its name
  std::string host;      // of rank 0
  std::string hardware;  // "AMD EPYC 9V74", or the GPU's name
  std::string device;    // cpu | cuda
  int64_t ranks = 1;
  int64_t threads = 1;  // of each rank
  std::string data;     // the folder, or "synthetic"
  bool synthetic = false;
  std::string data_hash;  // equal for equal images, whatever the folder
  // An entry for each change. Empty in the files of versions whose data_hash is a sampled_hash().
  std::vector<DataUse> data_history;
  ClassCounts train = {}, val = {}, test = {};
};

// Of all labels and all images.
std::string hash_of(const Dataset& dataset);
// As it once was, of all labels and every 100th image.
std::string sampled_hash(const Dataset& dataset);

// The name, the hash and the class counts.
void describe_data(const Dataset& dataset, const Split& split, RunFacts& facts);

std::string to_json(const RunFacts& facts);
// None for what is not the JSON of RunFacts.
std::optional<RunFacts> run_facts_from(const std::string& json);

// "AMD EPYC 9V74 80-Core Processor", or "CPU" where the system does not tell.
std::string cpu_name();

}  // namespace cifar

// A run as its directory tells of it, at any time: also while it trains, when it was killed in the
// middle of a line, or before its first epoch is done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "train/run_facts.h"

namespace cifar {

// A line of metrics.jsonl. What a line does not say, or says as null, is not a number.
struct EpochLine {
  int64_t epoch = 0, step = 0;
  bool partial = false;  // broken off before its end
  double train_loss, train_accuracy, val_loss, val_accuracy, learning_rate, images_per_second;
  double seconds_train, seconds_data, seconds_compute, seconds_communication, seconds_validation,
      seconds_checkpoint;
};

struct TestLine {
  double loss, accuracy;
};

struct RunRecord {
  std::string path;    // of the directory
  std::string name;    // its last part
  std::string recipe;  // config.toml
  Config config;       // the same, read
  std::vector<EpochLine> epochs;
  std::optional<TestLine> test;   // of a run that came to its end
  std::optional<RunFacts> facts;  // of runs of this version on
  int64_t unreadable_lines = 0;   // in metrics.jsonl
  double last_change = 0;         // of metrics.jsonl, in seconds since 1970

  int64_t whole_epochs() const;
  double seconds() const;            // of training and validation, as metrics.jsonl has them
  double images_per_second() const;  // over all epochs
};

// Error(kUsage) for a folder that holds no run.
RunRecord read_run(const std::string& path);

// The runs that arguments name: run directories, or folders that hold some. Error(kUsage) for one
// that is neither.
std::vector<std::string> find_runs(const std::vector<std::string>& arguments);

}  // namespace cifar

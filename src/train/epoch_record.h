// What is told of an epoch: a line for a person and an object for metrics.jsonl.
#pragma once

#include <string>

#include "train/evaluation.h"
#include "train/phase_timer.h"
#include "train/state.h"

namespace cifar {

struct EpochRecord {
  int64_t epochs;         // of the run
  Position position;      // at the end of the epoch, its sums still in it
  int64_t timed_samples;  // those of the epoch that this process ran
  EvaluationResult val;
  double learning_rate;  // of the last step
  double train_seconds;  // by the clock, checkpoints in the middle included, validation not
  PhaseTimer::Seconds phases;
  double validation_seconds;
  double checkpoint_seconds;

  std::string text() const;
  std::string json() const;

 private:
  double images_per_second() const;
  double train_loss() const;
  double train_accuracy() const;
};

// The last object of metrics.jsonl.
std::string test_json(const Position& position, const EvaluationResult& result);

}  // namespace cifar

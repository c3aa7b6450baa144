// What is told of an epoch: a line for a person and an object for metrics.jsonl. An epoch that was
// broken off (--max-steps, a signal) is not validated, and its object says "partial": a resumed run
// drops that object and writes another at the end of the epoch.
#pragma once

#include <string>

#include "train/evaluation.h"
#include "train/phase_timer.h"
#include "train/state.h"

namespace cifar {

struct EpochRecord {
  bool whole = false;         // trained to its end, and validated
  int64_t epochs = 0;         // of the run
  Position position;          // at the end of the epoch, its sums still in it
  int64_t timed_samples = 0;  // those of the epoch that this process ran
  EvaluationResult val;
  double learning_rate = 0;  // of the last step, of the first optimizer
  double train_seconds = 0;  // by the clock, checkpoints in the middle included, validation not
  PhaseTimer::Seconds phases = {};
  double validation_seconds = 0;
  double checkpoint_seconds = 0;

  std::string text() const;
  std::string json() const;

 private:
  double images_per_second() const;
  double train_loss() const;
  double train_accuracy() const;
};

// The last object of metrics.jsonl; it names the views of a test-time augmentation.
std::string test_json(const Position& position, const EvaluationResult& result,
                      const TestTimeAugmentation& tta = {});

}  // namespace cifar

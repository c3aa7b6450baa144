// The training loop: epochs of steps, each epoch followed by validation, a line of metrics and a
// checkpoint; at the end the test split. Every rank runs the same loop and takes the same
// decisions.
#pragma once

#include <chrono>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/signals.h"
#include "comm/communicator.h"
#include "config/config.h"
#include "data/batches.h"
#include "data/cifar10.h"
#include "data/split.h"
#include "train/checkpoint_writer.h"
#include "train/epoch_record.h"
#include "train/evaluation.h"
#include "train/faults.h"
#include "train/meter.h"
#include "train/metrics_writer.h"
#include "train/phase_timer.h"
#include "train/profiler.h"
#include "train/progress.h"
#include "train/run_directory.h"
#include "train/run_plan.h"
#include "train/state.h"
#include "train/step.h"

namespace cifar {

class Trainer {
 public:
  // `config` is resolved: batch_size is the global batch. What it asks for in vain is found out
  // here, before anything is written.
  Trainer(const Config& config, const Dataset& dataset, TrainState& state, Communicator& comm,
          const Signals& signals, const Log& log);

  // What the recipe's network takes from the images before a run begins: the weight of a whitening
  // layer. On one rank, before the state is broadcast.
  void initialise_from_data();

  // From state.position to the end; kDone, or kStopped when a rank was asked to stop. `directory`
  // is null on all ranks but 0, and must outlive the trainer, which may still be writing into it.
  // With `checkpoints` false none is written, nor replicas compared for one.
  ExitCode run(const RunDirectory* directory, bool checkpoints = true);

  // Asks the network about the test split; run() does at its end.
  void test();

  // What it said; empty before.
  const std::vector<Prediction>& test_predictions() const { return test_predictions_; }

  const RunPlan& plan() const { return plan_; }
  // How gradients are reduced, for people.
  std::string reduction() const { return step_.reduction(); }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Outcome { kEpochDone, kLimitReached, kStopped };

  ExitCode train_epochs();
  Outcome train_epoch();
  Wishes run_step();
  void log_profile();
  bool limit_reached() const;
  bool checkpoint_due() const;
  bool read_due() const;
  void finish_epoch();
  void break_off_epoch();
  EpochRecord trained_part();
  void report(const EpochRecord& epoch);
  bool checkpoint_time() const;
  void check_replicas_when_due();
  void write_checkpoint();
  void tell_checkpoint(bool wait);
  Wishes read_meter();
  void record(const std::string& json);

  const Config& config_;
  TrainState& state_;
  Communicator& comm_;
  const RunDirectory* directory_ = nullptr;
  bool checkpoints_ = true;
  std::optional<CheckpointWriter> writer_;  // these two where there is a directory
  std::optional<MetricsWriter> metrics_;
  const Signals& signals_;
  const Log& log_;

  Split split_;
  RunPlan plan_;
  Precision precision_;
  std::shared_ptr<const ResidentSet> train_set_;
  Batches train_batches_, val_batches_, test_batches_;
  PhaseTimer timer_;
  Profiler profiler_;
  std::optional<Faults> faults_;  // in test builds
  Meter meter_;
  TrainStep step_;
  Predictor validation_, test_;
  Progress progress_;
  Clock::time_point epoch_start_;
  Clock::time_point last_checkpoint_;
  std::string checkpoint_line_;    // to be told once it is on the disk
  double checkpoint_seconds_ = 0;  // that training waited for checkpoints
  std::vector<Prediction> test_predictions_;
  int64_t epoch_samples_ = 0;  // in this process; after a resume fewer than the epoch's
};

}  // namespace cifar

// Writes checkpoints beside the training: the caller hands over a copy of the state, a thread turns
// it into bytes and waits for the disk. The run directory must outlive the writer, on errors too.
#pragma once

#include <future>

#include "train/run_directory.h"

namespace cifar {

class CheckpointWriter {
 public:
  explicit CheckpointWriter(const RunDirectory& directory) : directory_(directory) {}
  // The last one is written to its end, whatever became of the training.
  ~CheckpointWriter() = default;

  // Waits while the one before it is being written, and throws what that met.
  void submit(Checkpoint checkpoint);
  // Whether finish() would not wait.
  bool ready() const;
  // Waits until all is on the disk; throws what writing met.
  void finish();

 private:
  const RunDirectory& directory_;
  std::future<void> writing_;  // its destructor waits
};

}  // namespace cifar

#include "train/checkpoint_writer.h"

#include <chrono>

namespace cifar {

void CheckpointWriter::submit(Checkpoint checkpoint) {
  finish();
  writing_ = std::async(std::launch::async, [this, checkpoint = std::move(checkpoint)] {
    directory_.write_checkpoint(checkpoint);
  });
}

bool CheckpointWriter::ready() const {
  return !writing_.valid() ||
         writing_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

void CheckpointWriter::finish() {
  if (writing_.valid()) writing_.get();
}

}  // namespace cifar

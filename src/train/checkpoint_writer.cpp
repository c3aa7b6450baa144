#include "train/checkpoint_writer.h"

namespace cifar {

void CheckpointWriter::submit(Checkpoint checkpoint) {
  finish();
  writing_ = std::async(std::launch::async, [this, checkpoint = std::move(checkpoint)] {
    directory_.write_checkpoint(checkpoint);
  });
}

void CheckpointWriter::finish() {
  if (writing_.valid()) writing_.get();
}

}  // namespace cifar

// What differs from one training step to the next and is read where the work is done: on a GPU from
// the device's own memory, so that the device needs no argument from the host, and a step that was
// captured as a graph can be replayed.
#pragma once

#include <cstdint>

namespace cifar {

struct StepValues {
  int64_t first = 0;  // place of the step's first sample in the epoch's order
  int64_t step = 0;   // of the run, from 1
  int64_t epoch = 0;  // from 0
  uint64_t seed = 0;  // of augmentation and dropout
};

}  // namespace cifar

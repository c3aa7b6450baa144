// What the micro-benchmarks share: the article's recipe and its network on the CPU.
#pragma once

#include <torch/types.h>

#include "config/load.h"
#include "train/state.h"

namespace cifar {

inline TrainState article_state() {
  return TrainState(article_config(), torch::kCPU);
}

}  // namespace cifar

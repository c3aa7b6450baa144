#include "train/replay.h"

#if CIFAR_HAS_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>

#include <algorithm>
#endif

namespace cifar {

#if CIFAR_HAS_CUDA

struct Replay::Graph {
  int warm_ups = 0;
  bool captured = false;
  at::cuda::CUDAGraph graph;

  // Thread-local: what other threads do with CUDA meanwhile (NCCL's watch, a checkpoint's writer)
  // neither breaks the capture nor is broken by it.
  void capture(const std::function<void()>& work, at::cuda::MempoolId_t pool) {
    c10::cuda::device_synchronize();
    graph.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    work();
    graph.capture_end();
    captured = true;
  }
};

Replay::Replay(torch::Device device, bool graphs) : enabled_(graphs && device.is_cuda()) {}

void Replay::run(int64_t variant, const std::function<void()>& work) {
  if (!enabled_) return work();
  auto& graph = graphs_[variant];
  if (!graph) graph = std::make_unique<Graph>();
  if (graph->warm_ups < kWarmUps) {
    ++graph->warm_ups;
    return work();
  }
  if (!graph->captured) {
    // One memory for all: they are replayed one after another, and leave nothing in it.
    const auto other =
        std::ranges::find_if(graphs_, [](const auto& it) { return it.second->captured; });
    graph->capture(
        work, other == graphs_.end() ? at::cuda::MempoolId_t{0, 0} : other->second->graph.pool());
  }
  graph->graph.replay();
}

#else

struct Replay::Graph {};

Replay::Replay(torch::Device, bool) : enabled_(false) {}

void Replay::run(int64_t, const std::function<void()>& work) {
  work();
}

#endif

Replay::~Replay() = default;

}  // namespace cifar

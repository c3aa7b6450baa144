#include "train/replay.h"

#if CIFAR_HAS_CUDA
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace cifar {

#if CIFAR_HAS_CUDA

struct Replay::Graph {
  int warm_ups = 0;
  bool captured = false;
  at::cuda::CUDAGraph graph;

  // Thread-local: what other threads do with CUDA meanwhile (NCCL's watch, a checkpoint's writer)
  // neither breaks the capture nor is broken by it.
  void capture(const std::function<void()>& work) {
    c10::cuda::device_synchronize();
    graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
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
  if (!graph->captured) graph->capture(work);
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

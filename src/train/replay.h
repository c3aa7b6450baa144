// Runs the same piece of work again and again; on a GPU it is captured as a CUDA graph after a few
// times and then replayed as a whole, without the host's dozens of launches. The work must not
// depend on what the host knows or wait for the device; what it allocates while it is captured
// stays the Replay's, for all its pieces of work, so it leaves its results elsewhere. Collectives
// may be part of it, and then every rank makes the same calls. The current stream must not be the
// default one.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace cifar {

class Replay {
 public:
  // Times that a piece of work is done plainly before it is captured: libraries choose kernels and
  // workspaces, and autograd makes its buffers, in the first few.
  static constexpr int kWarmUps = 3;

  // With `graphs` false, or on the CPU, run() is a plain call.
  Replay(torch::Device device, bool graphs);
  ~Replay();

  // `variant` tells apart pieces of work of different shapes: each has a graph of its own.
  void run(int64_t variant, const std::function<void()>& work);

 private:
  struct Graph;

  bool enabled_;
  std::map<int64_t, std::unique_ptr<Graph>> graphs_;
};

}  // namespace cifar

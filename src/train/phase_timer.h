// Where the time of an epoch goes; also told to profilers, LibTorch's and NVTX's. On the CPU it
// reads the clock; on a GPU it records events, which cost the device nothing, and reads them when
// asked. What runs as a captured graph belongs to the phase in which it is replayed.
#pragma once

#include <ATen/record_function.h>
#include <torch/types.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>

namespace cifar {

enum class Phase { kData, kCompute, kCommunication, kCount };

class PhaseTimer {
 public:
  using Seconds = std::array<double, static_cast<size_t>(Phase::kCount)>;

  explicit PhaseTimer(torch::Device device);
  ~PhaseTimer();

  // What follows, until the next call, belongs to `phase`.
  void begin(Phase phase);
  // What follows belongs to none.
  void end();
  // Seconds a phase since the last call; waits for the device.
  Seconds take();

 private:
  void mark(Phase phase);

  struct Events;
  using Clock = std::chrono::steady_clock;

  Seconds seconds_{};
  Phase current_ = Phase::kCount;
  Clock::time_point since_;
  bool range_open_ = false;                  // NVTX's
  std::unique_ptr<Events> events_;           // on a GPU
  std::optional<at::RecordFunction> range_;  // for a profiler, where one listens
};

}  // namespace cifar

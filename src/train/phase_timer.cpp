#include "train/phase_timer.h"

#include <vector>

#if CIFAR_HAS_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <nvtx3/nvToolsExt.h>
#endif

namespace cifar {
namespace {

constexpr const char* kNames[] = {"phase: data", "phase: compute", "phase: communication"};

}  // namespace

#if CIFAR_HAS_CUDA
struct PhaseTimer::Events {
  struct Mark {
    at::cuda::CUDAEvent event{cudaEventDefault};  // with timing
    Phase phase;
  };
  std::vector<Mark> marks;  // reused from one epoch to the next
  size_t used = 0;

  // Not while a graph is captured: its replays would record nothing.
  void record(Phase phase) {
    if (c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None) return;
    if (used == marks.size()) marks.emplace_back();
    marks[used].phase = phase;
    marks[used++].event.record();
  }

  void add_to(Seconds& seconds) {
    if (used > 0) marks[used - 1].event.synchronize();
    for (size_t i = 0; i + 1 < used; ++i) {
      if (marks[i].phase == Phase::kCount) continue;
      seconds[static_cast<size_t>(marks[i].phase)] +=
          marks[i].event.elapsed_time(marks[i + 1].event) / 1000;
    }
    used = 0;
  }
};
#else
struct PhaseTimer::Events {
  void record(Phase) {}
  void add_to(Seconds&) {}
};
#endif

PhaseTimer::PhaseTimer(torch::Device device) {
  if (device.is_cuda()) events_ = std::make_unique<Events>();
}

PhaseTimer::~PhaseTimer() = default;

// A range ends where the next begins.
void PhaseTimer::mark(Phase phase) {
#if CIFAR_HAS_CUDA
  if (events_) {
    if (range_open_) nvtxRangePop();
    range_open_ = phase != Phase::kCount;
    if (range_open_) nvtxRangePushA(kNames[static_cast<size_t>(phase)]);
  }
#endif
  range_.reset();
  if (phase == Phase::kCount) return;
  range_.emplace(at::RecordScope::USER_SCOPE);
  if (range_->isActive()) range_->before(kNames[static_cast<size_t>(phase)]);
}

void PhaseTimer::begin(Phase phase) {
  mark(phase);
  if (events_) return events_->record(phase);
  const auto now = Clock::now();
  if (current_ != Phase::kCount) {
    seconds_[static_cast<size_t>(current_)] += std::chrono::duration<double>(now - since_).count();
  }
  current_ = phase;
  since_ = now;
}

void PhaseTimer::end() {
  begin(Phase::kCount);
}

PhaseTimer::Seconds PhaseTimer::take() {
  end();
  if (events_) events_->add_to(seconds_);
  return std::exchange(seconds_, Seconds{});
}

}  // namespace cifar

// Where the time of a few training steps goes, operation by operation: a table, and a trace for
// chrome://tracing or ui.perfetto.dev (LibTorch's profiler). On one rank.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cifar {

// One operation: on a GPU what ran there, on the CPU what LibTorch and this program name.
struct ProfiledEvent {
  std::string name;
  uint64_t thread = 0;          // events of one thread nest
  uint64_t start = 0, end = 0;  // ns
};

// Rows by name, the longest first: calls, time in the operation itself (without those within it),
// its share of all. At most `rows`, the others in a last one.
std::string profile_table(std::vector<ProfiledEvent> events, size_t rows);

class Profiler {
 public:
  // Of `steps` steps; 0: of none, and every call does nothing.
  Profiler(int64_t steps, torch::Device device);
  ~Profiler();

  // Whether steps were to be profiled, and are not yet.
  bool pending() const { return steps_ > 0 && seen_ <= kWarmUps + steps_; }

  // The first steps of a process are not like the others (graphs are captured, buffers made): they
  // are passed over.
  void step_begins();
  // After the last one writes the trace to `file` and returns the table; else "". Waits for the
  // device then.
  std::string step_ended(const std::string& file);

 private:
  static constexpr int64_t kWarmUps = 5;

  int64_t steps_;
  torch::Device device_;
  int64_t seen_ = 0;
};

}  // namespace cifar

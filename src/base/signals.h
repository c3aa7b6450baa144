// Ctrl-C, SIGTERM, SIGUSR1 and, unless it is ignored, SIGHUP, taken by a thread of its own instead
// of a handler with globals. Until hold() they end the process at once; after it the first one is
// only noted, so that the step can be finished and a checkpoint written, and a second SIGINT ends
// the process.
#pragma once

#include <atomic>
#include <thread>

namespace cifar {

class Signals {
 public:
  // Must be made before any other thread: threads inherit the blocked signals.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  void hold() { held_ = true; }
  void release() { held_ = false; }
  bool stop_requested() const { return requested_; }

 private:
  void watch();

  std::atomic<bool> held_ = false, requested_ = false, ending_ = false;
  std::thread thread_;
};

}  // namespace cifar

// Ends the process, come what may, unless it is destroyed in time: for calls that have no deadline
// of their own and may hang for ever.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>

#include "base/log.h"

namespace cifar {

class ExitGuard {
 public:
  // `error`: what to print then; empty: nothing.
  ExitGuard(double seconds, int code, std::string error = {})
      : thread_([seconds, code, error = std::move(error)](const std::stop_token& destroyed) {
          std::mutex mutex;
          std::unique_lock lock(mutex);
          std::condition_variable_any().wait_for(
              lock, destroyed, std::chrono::duration<double>(seconds), [] { return false; });
          if (destroyed.stop_requested()) return;
          if (!error.empty()) print_error(error, "a call that cannot be broken off");
          std::_Exit(code);
        }) {}

 private:
  std::jthread thread_;
};

}  // namespace cifar

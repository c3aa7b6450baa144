// Work that was handed to a device, in order, and whether the device gets on with it. Nobody waits:
// overdue() is to be asked now and then, by a thread of its own for example.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "comm/roll_call_rules.h"

namespace cifar {

class ProgressQueue {
 public:
  using Clock = std::chrono::steady_clock;

  explicit ProgressQueue(double timeout) : timeout_(timeout) {}

  // `done` says whether the device has done it.
  void add(const Operation& operation, std::function<bool()> done,
           Clock::time_point now = Clock::now());

  // The oldest that is not done, when the device has done nothing for `timeout` seconds. Not from
  // the time that it was added: the host may be far ahead of the device.
  std::optional<Operation> overdue(Clock::time_point now = Clock::now());

  // Begins the deadline anew: this process was stopped, and with it maybe all others.
  void restart(Clock::time_point now = Clock::now());

 private:
  struct Work {
    Operation operation;
    std::function<bool()> done;
  };

  std::chrono::duration<double> timeout_;
  std::mutex mutex_;
  std::deque<Work> works_;
  Clock::time_point progress_;  // of the device, or its first work after it had none
};

}  // namespace cifar

#include "comm/progress_queue.h"

#include <utility>

namespace cifar {

void ProgressQueue::add(const Operation& operation, std::function<bool()> done,
                        Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  if (works_.empty()) progress_ = now;
  works_.push_back({operation, std::move(done)});
}

std::optional<Operation> ProgressQueue::overdue(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  while (!works_.empty() && works_.front().done()) {
    works_.pop_front();
    progress_ = now;
  }
  if (works_.empty() || now - progress_ <= timeout_) return std::nullopt;
  return works_.front().operation;
}

void ProgressQueue::restart(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  progress_ = now;
}

}  // namespace cifar

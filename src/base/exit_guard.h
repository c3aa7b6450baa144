// The end of a process that may hang: it ends with a code, come what may. Time in which the process
// was stopped does not count.
#pragma once

#include <functional>
#include <thread>

namespace cifar {

// What to do when the time is over, just before the end, in another thread; empty: nothing.
using LastDeed = std::function<void()>;

// Until it is destroyed: for calls that have no deadline of their own.
class ExitGuard {
 public:
  ExitGuard(double seconds, int code, LastDeed deed = {});

 private:
  std::jthread thread_;
};

// Until the process has ended, all destructors included. A process that is stopped then cannot see
// that its time is over, and nobody waits for it any more who could: a child process does, for
// `patience` seconds longer, lets it go on, to end with `code`, and kills it if it does not.
void guard_to_the_end(double seconds, double patience, int code, LastDeed deed);

}  // namespace cifar

// Which process on which machine: enough to tell later, from another process, whether it still
// runs. A process number alone is not: it is given out again, and other machines and containers
// count their own.
#pragma once

#include <cstdint>
#include <string>

namespace cifar {

struct ProcessIdentity {
  std::string host;
  std::string boot;           // of the kernel: differs between machines and after a restart
  std::string pid_namespace;  // in which `pid` counts; containers have their own
  int64_t pid = 0;
  int64_t start = 0;  // of the process, in clock ticks since the boot
};

enum class Alive { kYes, kNo, kUnknown };

ProcessIdentity this_process();

// kUnknown for a process that cannot be looked up from here: of another machine, or container.
Alive is_alive(const ProcessIdentity& process);

}  // namespace cifar

// The processes of this machine, as /proc shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cifar {

struct Process {
  int id = 0, parent = 0, group = 0;
  char state = 0;     // as in ps: T is stopped
  int64_t start = 0;  // in clock ticks since the boot
  std::string name;   // of the program's file; of a script, its interpreter's
  // What it was started with, "NAME=VALUE" each; none for a process of another user.
  std::optional<std::vector<std::string>> variables;

  std::optional<std::string> variable(std::string_view name) const;
};

// None: it has ended, or is hidden.
std::optional<Process> read_process(int id);

// This process, its parent, and so on to the first.
std::vector<Process> lineage();

// Those with the same parent as this process, itself aside.
std::vector<Process> siblings();

}  // namespace cifar

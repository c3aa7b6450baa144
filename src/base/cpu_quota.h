// How much of the CPU the control groups (cgroups) of this process let it have, as containers and
// batch systems set it. Both versions of cgroups; a limit holds for all groups below it, too.
#pragma once

#include <optional>
#include <string>

namespace cifar {

struct CpuQuota {
  double cpus;       // seconds of CPU time a second
  std::string file;  // that says so
};

// The tightest; none: no group has a limit, or there is no telling. `root`: the folder in which
// /proc and what it names lie.
std::optional<CpuQuota> cpu_quota(const std::string& root = "");

// The cores of each of `sharers` processes that share a quota: whole ones, at least one.
int cores_of_quota(const CpuQuota& quota, int sharers);

}  // namespace cifar

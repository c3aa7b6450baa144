#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

namespace cifar {
namespace {

// A hierarchy of groups that is mounted.
struct Mount {
  std::string group;    // that is seen at
  std::string folder;   // this folder
  bool second = false;  // version 2 of cgroups
};

std::vector<std::string> words_of(const std::string& line, char separator) {
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; std::getline(stream, word, separator);) words.push_back(word);
  return words;
}

bool has_word(const std::string& list, const std::string& word) {
  return std::ranges::count(words_of(list, ','), word) > 0;
}

// proc(5): "36 35 98:0 /group /folder rw,noatime - cgroup2 source options", with any number of
// words before the dash.
std::vector<Mount> find_mounts(const std::string& root) {
  std::vector<Mount> mounts;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const auto words = words_of(line, ' ');
    const auto dash = std::ranges::find(words, "-");
    if (words.size() < 5 || words.end() - dash < 4) continue;
    const bool second = dash[1] == "cgroup2";
    if (second || (dash[1] == "cgroup" && has_word(dash[3], "cpu"))) {
      mounts.push_back({words[3], root + words[4], second});
    }
  }
  return mounts;
}

// cgroups(7): "4:cpu,cpuacct:/group", in version 2 "0::/group".
std::string group_of(const std::string& root, bool second) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), last = line.find(':', first + 1);
    if (last == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, last - first - 1);
    if (second ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(last + 1);
  }
  return "/";
}

std::optional<CpuQuota> quota_in(const std::string& folder, bool second) {
  const std::string file = folder + (second ? "/cpu.max" : "/cpu.cfs_quota_us");
  std::ifstream stream(file);
  double quota = 0, period = 0;
  stream >> quota;  // "max" is no number
  if (!second) stream = std::ifstream(folder + "/cpu.cfs_period_us");
  stream >> period;
  if (!stream || quota <= 0 || period <= 0) return std::nullopt;
  return CpuQuota{quota / period, file};
}

// The group's path below the mounted one. It is not below it where another mount hides its own
// group, as in some containers: then the mounted one is all that is to be seen.
std::string path_below(const Mount& mount, const std::string& group) {
  if (mount.group == "/") return group;
  const bool below = group == mount.group || group.starts_with(mount.group + "/");
  return below ? group.substr(mount.group.size()) : "";
}

}  // namespace

std::optional<CpuQuota> cpu_quota(const std::string& root) {
  std::optional<CpuQuota> tightest;
  for (const Mount& mount : find_mounts(root)) {
    std::string path = path_below(mount, group_of(root, mount.second));
    for (;;) {
      const auto quota = quota_in(mount.folder + path, mount.second);
      if (quota && (!tightest || quota->cpus < tightest->cpus)) tightest = quota;
      if (path.empty()) break;
      path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  return tightest;
}

int cores_of_quota(const CpuQuota& quota, int sharers) {
  const auto whole = static_cast<int>(std::lround(std::min(quota.cpus, 1e6)));
  return std::max(1, whole / std::max(1, sharers));
}

}  // namespace cifar

#include "base/process.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>

namespace cifar {
namespace {

struct ProcessState {
  char state = '?';  // Z: it has ended, and nobody has asked how
  int64_t start = 0;
};

// proc(5): the command's name, in parentheses, may hold anything. Behind it come the state, field
// 3, and at last the start, field 22.
std::optional<ProcessState> state_of(int64_t pid) {
  constexpr int kFieldsBetween = 18;
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line, '\0');
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(name_end + 1));
  ProcessState process;
  std::string skipped;
  fields >> process.state;
  for (int i = 0; i < kFieldsBetween; ++i) fields >> skipped;
  fields >> process.start;
  if (!fields) return std::nullopt;
  return process;
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string link_target(const char* path) {
  char target[PATH_MAX] = {};
  return readlink(path, target, sizeof(target) - 1) < 0 ? "" : target;
}

// All three: clones of a virtual machine share the boot, machines may share a name.
bool can_be_looked_up(const ProcessIdentity& process, const ProcessIdentity& here) {
  return !process.boot.empty() && process.boot == here.boot && !process.pid_namespace.empty() &&
         process.pid_namespace == here.pid_namespace && process.host == here.host &&
         process.pid > 0;
}

bool is_gone(int64_t pid) {
  return kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
}

}  // namespace

ProcessIdentity this_process() {
  char host[256] = {};
  gethostname(host, sizeof(host) - 1);
  const auto state = state_of(getpid());
  return {host, first_line("/proc/sys/kernel/random/boot_id"), link_target("/proc/self/ns/pid"),
          getpid(), state ? state->start : 0};
}

Alive is_alive(const ProcessIdentity& process) {
  if (!can_be_looked_up(process, this_process())) return Alive::kUnknown;
  if (is_gone(process.pid)) return Alive::kNo;
  const auto state = state_of(process.pid);
  // It may have ended in between; /proc may hide other users' processes.
  if (!state) return is_gone(process.pid) ? Alive::kNo : Alive::kUnknown;
  const bool another = state->start != process.start;
  const bool ended = state->state == 'Z' || state->state == 'X';
  return another || ended ? Alive::kNo : Alive::kYes;
}

}  // namespace cifar

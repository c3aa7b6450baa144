#include "base/process_identity.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "base/processes.h"

namespace cifar {
namespace {

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
  const auto self = read_process(getpid());
  return {host, first_line("/proc/sys/kernel/random/boot_id"), link_target("/proc/self/ns/pid"),
          getpid(), self ? self->start : 0};
}

Alive is_alive(const ProcessIdentity& process) {
  if (!can_be_looked_up(process, this_process())) return Alive::kUnknown;
  if (is_gone(process.pid)) return Alive::kNo;
  const auto found = read_process(static_cast<int>(process.pid));
  // It may have ended in between; /proc may hide other users' processes.
  if (!found) return is_gone(process.pid) ? Alive::kNo : Alive::kUnknown;
  const bool another = found->start != process.start;
  const bool ended = found->state == 'Z' || found->state == 'X';  // Z: nobody has asked how
  return another || ended ? Alive::kNo : Alive::kYes;
}

}  // namespace cifar

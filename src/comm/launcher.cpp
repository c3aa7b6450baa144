#include "comm/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>

#include "base/error.h"
#include "base/exit_guard.h"

namespace cifar {
namespace {

constexpr int kAbortMilliseconds = 3000;  // mpirun gives the ranks one second
constexpr int kHangUpMilliseconds = 1000;
constexpr std::chrono::milliseconds kLookEvery(100);
constexpr double kOrphanSeconds = 6;
constexpr const char* kOpenMpiGrace = "7";  // seconds; longer than ours

// A process is named by a descriptor: its number may be given to another once it has ended. glibc
// 2.36 has no pidfd_getfd, older ones none of these.
int open_process(pid_t process) {
  return static_cast<int>(syscall(SYS_pidfd_open, process, 0));
}

bool ends_within(int process, int milliseconds) {
  pollfd ended{process, POLLIN, 0};
  return poll(&ended, 1, milliseconds) == 1;
}

// Does nothing where one process may not look into another of the same user (Yama, containers).
void shut_connections_down(int process, int descriptors) {
  for (int fd = 0; fd < descriptors; ++fd) {
    const int copy = static_cast<int>(syscall(SYS_pidfd_getfd, process, fd, 0));
    if (copy < 0) continue;
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    const bool connected = getpeername(copy, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
    if (connected && (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)) {
      shutdown(copy, SHUT_RDWR);
    }
    close(copy);
  }
}

bool is_launcher(pid_t process) {
  std::string name;
  std::ifstream("/proc/" + std::to_string(process) + "/comm") >> name;
  return name == "mpirun" || name == "mpiexec" || name == "orterun" || name == "orted";
}

// Until the next look; false when there is to be none.
bool wait_for_next_look(const std::stop_token& end) {
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable_any().wait_for(lock, end, kLookEvery, [] { return false; });
  return !end.stop_requested();
}

// Pipes and terminals that led to the launcher: a write to them would be an error, or a signal.
void drop_output() {
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere < 0) return;
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat status {};
    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) dup2(nowhere, fd);
  }
  close(nowhere);
}

// The files of all ranks of this host: they have lost the same launcher. Who has mapped them goes
// on.
void remove_shared_memory() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const size_t path = line.find('/');
    if (path == std::string::npos) continue;
    if (line.find("/vader_segment.", path) != std::string::npos) unlink(line.c_str() + path);
  }
}

void watch_launcher(const std::stop_token& end, pid_t launcher) {
  while (getppid() == launcher) {
    if (!wait_for_next_look(end)) return;
  }
  drop_output();
  remove_shared_memory();
  kill(getpid(), SIGTERM);
  const ExitGuard guard(kOrphanSeconds, static_cast<int>(ExitCode::kPeerLost));
  while (wait_for_next_look(end)) {
  }
}

}  // namespace

LauncherWatch::LauncherWatch() {
  setenv("PMIX_MCA_event_caching_window", kOpenMpiGrace, /*overwrite=*/0);
  prctl(PR_SET_PDEATHSIG, SIGCONT);
  thread_ = std::jthread(watch_launcher, getppid());
}

void see_launcher_off() {
  const pid_t launcher = getppid();
  if (!is_launcher(launcher)) return;
  const int process = open_process(launcher);
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const int descriptors = static_cast<int>(std::min<rlim_t>(files.rlim_cur, 1024));
  if (process < 0 || fork() != 0) return;
  // The child of a process with threads: system calls only. mpirun kills whole process groups and
  // waits until nobody holds its pipes.
  setsid();
  for (int fd = 0; fd < descriptors; ++fd) {
    if (fd != process) close(fd);
  }
  if (!ends_within(process, kAbortMilliseconds)) {
    shut_connections_down(process, descriptors);
    if (!ends_within(process, kHangUpMilliseconds)) {
      syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
    }
  }
  _exit(0);
}

}  // namespace cifar

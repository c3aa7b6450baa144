#include "base/exit_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>

namespace cifar {
namespace {

constexpr double kLookSeconds = 0.05;
constexpr double kLongestLook = 1;  // whoever took longer was stopped
constexpr double kLastSeconds = 2;  // for a process that was let go on

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Looks now and then whether it is over; false: it was not, in so many seconds.
template <typename Over>
bool is_over_within(double seconds, const Over& over) {
  for (double last = now(); seconds > 0;) {
    if (over()) return true;
    const double here = now();
    seconds -= std::min(here - last, kLongestLook);
    last = here;
  }
  return false;
}

void pause() {
  const timespec time{0, static_cast<long>(kLookSeconds * 1e9)};
  nanosleep(&time, nullptr);
}

[[noreturn]] void end(int code, const LastDeed& deed) {
  if (deed) deed();
  std::_Exit(code);
}

// The child of a process with threads: system calls only.
[[noreturn]] void look_after(pid_t parent, double seconds, std::atomic<bool>& given_up) {
  // Whoever started the parent may wait until nobody holds its pipes, or signal its whole group.
  setsid();
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  const int descriptors = static_cast<int>(std::min<rlim_t>(files.rlim_cur, 1024));
  for (int fd = 0; fd < descriptors; ++fd) close(fd);
  const auto ended = [parent] {
    pause();
    return getppid() != parent;
  };
  if (!is_over_within(seconds, ended)) {
    given_up = true;
    kill(parent, SIGCONT);
    if (!is_over_within(kLastSeconds, ended)) kill(parent, SIGKILL);
  }
  _exit(0);
}

}  // namespace

ExitGuard::ExitGuard(double seconds, int code, LastDeed deed)
    : thread_([seconds, code, deed = std::move(deed)](const std::stop_token& destroyed) {
        std::mutex mutex;
        std::unique_lock lock(mutex);
        std::condition_variable_any condition;
        const bool in_time = is_over_within(seconds, [&] {
          condition.wait_for(lock, destroyed, std::chrono::duration<double>(kLookSeconds),
                             [] { return false; });
          return destroyed.stop_requested();
        });
        if (!in_time) end(code, deed);
      }) {}

void guard_to_the_end(double seconds, double patience, int code, LastDeed deed) {
  void* page = mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::bad_alloc();
  auto& given_up = *new (page) std::atomic<bool>(false);  // for both processes, to the end
  std::thread([seconds, code, deed = std::move(deed), &given_up] {
    is_over_within(seconds, [&] {
      pause();
      return given_up.load();
    });
    end(code, deed);
  }).detach();
  const pid_t self = getpid();
  if (fork() == 0) look_after(self, seconds + patience, given_up);
}

}  // namespace cifar

// Guards end processes: each test has a child of its own.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "base/exit_guard.h"

namespace cifar {
namespace {

constexpr int kExitCode = 6;
constexpr double kLong = 60;

void sleep_for(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

// Runs `call` in a child process, which ends with 0 if it returns.
template <typename Call>
pid_t start(const Call& call) {
  const pid_t child = fork();
  if (child == 0) {
    call();
    _exit(0);
  }
  return child;
}

int code_of(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(ExitGuard, EndsAProcessThatHangs) {
  EXPECT_EQ(code_of(start([] {
              const ExitGuard guard(0.1, kExitCode);
              sleep_for(kLong);
            })),
            kExitCode);
}

TEST(ExitGuard, LetsGoOfOneThatDoesNot) {
  EXPECT_EQ(code_of(start([] { const ExitGuard guard(kLong, kExitCode); })), 0);
}

TEST(ExitGuard, DoesNotCountTheTimeInWhichTheProcessIsStopped) {
  const pid_t child = start([] {
    const ExitGuard guard(2, kExitCode);
    raise(SIGSTOP);
    sleep_for(0.2);
  });
  waitpid(child, nullptr, WUNTRACED);
  sleep_for(3);
  kill(child, SIGCONT);
  EXPECT_EQ(code_of(child), 0);
}

TEST(GuardToTheEnd, EndsAProcessThatHangs) {
  EXPECT_EQ(code_of(start([] {
              guard_to_the_end(0.1, kLong, kExitCode, {});
              sleep_for(kLong);
            })),
            kExitCode);
}

TEST(GuardToTheEnd, EndsAProcessThatIsStopped) {
  EXPECT_EQ(code_of(start([] {
              guard_to_the_end(0.2, 0.1, kExitCode, {});
              raise(SIGSTOP);
              sleep_for(kLong);
            })),
            kExitCode);
}

TEST(GuardToTheEnd, LetsAProcessEndAndLeavesNoneBehind) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // those that it would leave behind become this one's
  const pid_t child = start([] { guard_to_the_end(kLong, kLong, kExitCode, {}); });
  EXPECT_EQ(code_of(child), 0);
  int status = -1;
  EXPECT_GT(waitpid(-1, &status, 0), 0);  // the one that looked after it
  EXPECT_EQ(status, 0);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
}

}  // namespace
}  // namespace cifar

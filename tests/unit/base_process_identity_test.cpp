#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process_identity.h"

namespace cifar {
namespace {

// A process that waits to be killed, seen as it would say itself.
struct Child {
  Child() : pid(fork()) {
    if (pid == 0) {
      for (;;) pause();
    }
  }
  ~Child() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
  ProcessIdentity identity() const {
    ProcessIdentity process = this_process();
    process.pid = pid;
    process.start = start_of();
    return process;
  }
  // The only start for which it lives, found by asking.
  int64_t start_of() const {
    ProcessIdentity process = this_process();
    process.pid = pid;
    constexpr int64_t kTicks = 100000;
    for (int64_t ticks = 0; ticks < kTicks && is_alive(process) != Alive::kYes; ++ticks) {
      ++process.start;  // it was born after this process
    }
    return process.start;
  }

  pid_t pid;
};

TEST(Process, ThisOneLives) {
  const ProcessIdentity self = this_process();
  EXPECT_EQ(self.pid, getpid());
  EXPECT_GT(self.start, 0);
  EXPECT_FALSE(self.boot.empty());
  EXPECT_FALSE(self.pid_namespace.empty());
  EXPECT_EQ(is_alive(self), Alive::kYes);
}

TEST(Process, AnotherWithTheSameNumberIsNotIt) {
  ProcessIdentity before = this_process();
  before.start -= 1;
  EXPECT_EQ(is_alive(before), Alive::kNo);
}

TEST(Process, IsGoneWhenKilledEvenBeforeAnybodyAsked) {
  const Child child;
  const ProcessIdentity process = child.identity();
  EXPECT_EQ(is_alive(process), Alive::kYes);
  kill(child.pid, SIGSTOP);
  EXPECT_EQ(is_alive(process), Alive::kYes);
  kill(child.pid, SIGKILL);
  siginfo_t end;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child.pid), &end, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(is_alive(process), Alive::kNo);  // a zombie
  waitpid(child.pid, nullptr, 0);
  EXPECT_EQ(is_alive(process), Alive::kNo);
}

TEST(Process, OfAnotherMachineOrContainerIsNotKnown) {
  for (std::string ProcessIdentity::*part :
       {&ProcessIdentity::host, &ProcessIdentity::boot, &ProcessIdentity::pid_namespace}) {
    ProcessIdentity elsewhere = this_process();
    elsewhere.*part = "another";
    EXPECT_EQ(is_alive(elsewhere), Alive::kUnknown);
    elsewhere.pid = 1 << 30;  // and not because such a process is there
    EXPECT_EQ(is_alive(elsewhere), Alive::kUnknown);
  }
  EXPECT_EQ(is_alive(ProcessIdentity{}), Alive::kUnknown);
}

}  // namespace
}  // namespace cifar

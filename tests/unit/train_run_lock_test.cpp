// Who gets a run directory: locks of the living, the dead and the unknown, and many that want one
// at once while they are killed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "refusal.h"
#include "temp_folder.h"
#include "train/run_lock.h"

// In the place of the C library's, for whoever is linked here: while `delays` is set, each call
// comes late, so that what was seen before it is old by then.
namespace {

std::atomic<bool> delays = false;

void delay() {
  if (!delays) return;
  thread_local std::minstd_rand random(std::random_device{}());
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
}

}  // namespace

extern "C" int link(const char* from, const char* to) noexcept {
  delay();
  return static_cast<int>(syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0));
}

extern "C" int unlink(const char* path) noexcept {
  delay();
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

namespace cifar {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Delays {
  Delays() { delays = true; }
  ~Delays() { delays = false; }
};

constexpr auto kLong = std::chrono::hours(1);

LockFile of_the_dead() {
  LockFile file = new_lock_file();
  file.holder.start -= 1;
  return file;
}

LockFile of_another_host() {
  LockFile file = new_lock_file();
  file.holder.host = "node-b";
  file.holder.boot = "another";
  return file;
}

class RunLockTest : public testing::Test {
 protected:
  void there_is(const LockFile& file, const std::string& ending = "") {
    ASSERT_EQ(place_lock_file(file, lock_ + ending, lock_ + ".test"), 0);
  }
  void take(RunLock& lock) {
    while (!lock.try_take(silent_)) {
    }
  }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(temp_.path())) {
      names.push_back(entry.path().filename().string());
    }
    return names;
  }
  int64_t touched() const { return read_lock_file(lock_)->touched; }

  TempFolder temp_;
  const std::string lock_ = temp_ / "run.lock";
  Log silent_{1};
};

TEST_F(RunLockTest, IsThereWhileItIsHeld) {
  {
    RunLock lock(temp_.path(), {});
    EXPECT_TRUE(lock.try_take(silent_));
    EXPECT_THAT(files(), ElementsAre("run.lock"));
    EXPECT_EQ(read_lock_file(lock_)->holder.pid, getpid());
    lock.require();
  }
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(RunLockTest, ASecondIsRefusedAndTheFirstNamed) {
  RunLock first(temp_.path(), {});
  take(first);
  RunLock second(temp_.path(), {});
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { second.try_take(silent_); }),
              AllOf(HasSubstr("process " + std::to_string(getpid()) + " on "),
                    HasSubstr(this_process().host), HasSubstr("since 20")));
  first.require();
}

TEST_F(RunLockTest, OfAKilledProcessIsTakenAtOnce) {
  there_is(of_the_dead());
  RunLock lock(temp_.path(), {});
  EXPECT_TRUE(lock.try_take(silent_));
  EXPECT_THAT(files(), ElementsAre("run.lock"));
  EXPECT_EQ(read_lock_file(lock_)->holder.start, this_process().start);
}

// Killed in the middle of taking over, or of giving back: the chain of those that are dead.
TEST_F(RunLockTest, OfSeveralKilledProcessesIsTaken) {
  const LockFile first = of_the_dead(), second = of_the_dead();
  there_is(first);
  there_is(second, ".after-" + first.token);
  there_is(of_the_dead(), ".after-" + second.token);
  there_is(of_the_dead(), ".new-" + second.token);
  {
    RunLock lock(temp_.path(), {});
    EXPECT_TRUE(lock.try_take(silent_));
    EXPECT_THAT(files(), ElementsAre("run.lock"));
  }
  EXPECT_THAT(files(), IsEmpty());
}

TEST_F(RunLockTest, OfOneWhoTookOverJustNowIsHeeded) {
  const LockFile first = of_the_dead();
  there_is(first);
  there_is(new_lock_file(), ".after-" + first.token);
  RunLock lock(temp_.path(), {});
  refusal(ExitCode::kUsage, [&] { lock.try_take(silent_); });
}

TEST_F(RunLockTest, OfASilentHostIsTakenInTheEnd) {
  there_is(of_another_host());
  testing::internal::CaptureStderr();
  RunLock lock(temp_.path(), {.silence = 500ms});
  EXPECT_FALSE(lock.try_take(Log(0)));
  take(lock);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("warning: "), HasSubstr("on node-b"), HasSubstr("a sign of life")));
}

TEST_F(RunLockTest, OfAHostThatGivesSignsOfLifeIsRefused) {
  there_is(of_another_host());
  std::jthread beat([this](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      utimensat(AT_FDCWD, lock_.c_str(), nullptr, 0);
      std::this_thread::sleep_for(20ms);
    }
  });
  RunLock lock(temp_.path(), {.silence = kLong});
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { take(lock); }), HasSubstr("on node-b"));
}

TEST_F(RunLockTest, ThatCannotBeReadIsTakenInTheEnd) {
  write_file(lock_, "", ExitCode::kUsage);
  RunLock lock(temp_.path(), {.silence = 500ms});
  EXPECT_FALSE(lock.try_take(silent_));
  take(lock);
  EXPECT_TRUE(read_lock_file(lock_)->readable());
}

TEST_F(RunLockTest, GivesSignsOfLife) {
  RunLock lock(temp_.path(), {.beat = 10ms});
  take(lock);
  const int64_t before = touched();
  while (touched() == before) std::this_thread::sleep_for(1ms);
}

TEST_F(RunLockTest, ARestartWaitsForTheEndOfTheOneBefore) {
  auto first = std::make_unique<RunLock>(temp_.path(), RunLock::Times{});
  take(*first);
  RunLock second(temp_.path(), {.patience = kLong});
  EXPECT_FALSE(second.try_take(silent_));
  first.reset();
  take(second);
  second.require();
}

TEST_F(RunLockTest, OneThatWasTakenForDeadWritesNothingMore) {
  {
    RunLock lock(temp_.path(), {.beat = 10ms});
    take(lock);
    ASSERT_EQ(replace_lock_file(of_another_host(), lock_, lock_ + ".test"), 0);
    EXPECT_THAT(refusal(ExitCode::kCheckpoint, [&] { lock.require(); }), HasSubstr("on node-b"));
    const int64_t before = touched();
    std::this_thread::sleep_for(50ms);
    EXPECT_EQ(touched(), before);
  }
  EXPECT_EQ(read_lock_file(lock_)->holder.host, "node-b");
  EXPECT_THAT(files(), ElementsAre("run.lock"));
}

TEST_F(RunLockTest, OneThatWasDeletedByHandIsMadeAgain) {
  RunLock lock(temp_.path(), {});
  take(lock);
  fs::remove(lock_);
  lock.require();
  RunLock second(temp_.path(), {});
  refusal(ExitCode::kUsage, [&] { second.try_take(silent_); });
}

TEST_F(RunLockTest, NeedsAFolder) {
  RunLock lock(temp_ / "none", {});
  EXPECT_THAT(refusal(ExitCode::kCheckpoint, [&] { lock.try_take(silent_); }),
              HasSubstr("none/run.lock: No such file"));
}

TEST_F(RunLockTest, OfManyThatSeeADeadOneEachTimeOneGetsIt) {
  constexpr int kRounds = 30, kThreads = 6;
  const Delays late;
  for (int round = 0; round < kRounds; ++round) {
    there_is(of_the_dead());
    std::vector<std::unique_ptr<RunLock>> locks;
    std::atomic<int> taken = 0, ready = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      locks.push_back(std::make_unique<RunLock>(temp_.path(), RunLock::Times{}));
      threads.emplace_back([&, lock = locks.back().get()] {
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        try {
          take(*lock);
          ++taken;
        } catch (const Error&) {
        }
      });
    }
    threads.clear();
    ASSERT_EQ(taken, 1);
    locks.clear();
    ASSERT_THAT(files(), IsEmpty());
  }
}

// --- processes that are killed at any moment, by themselves and from outside

struct Shared {
  std::atomic<pid_t> holder, doomed;
  std::atomic<int> takes, overlaps;
};

[[noreturn]] void hold_again_and_again(const std::string& folder, Shared& shared) {
  std::minstd_rand random(static_cast<unsigned>(getpid()));
  for (;;) {
    RunLock lock(folder, {.patience = kLong});
    while (!lock.try_take(Log(1))) {
    }
    const pid_t before = shared.holder.exchange(getpid());
    if (before != 0 && before != shared.doomed) ++shared.overlaps;
    ++shared.takes;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
    shared.holder = 0;
    if (random() % 4 == 0) kill(getpid(), SIGKILL);
  }
}

class Crowd {
 public:
  Crowd(const std::string& folder, Shared& shared, int size) : folder_(folder), shared_(shared) {
    for (int i = 0; i < size; ++i) pids_.push_back(start());
  }
  ~Crowd() {
    for (const pid_t pid : pids_) kill(pid, SIGKILL);
    for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }

  void kill_one(size_t index) {
    shared_.doomed = pids_[index];
    kill(pids_[index], SIGKILL);
    waitpid(pids_[index], nullptr, 0);
    pid_t expected = shared_.doomed;
    shared_.holder.compare_exchange_strong(expected, 0);
    pids_[index] = start();
  }
  void replace_the_dead() {
    for (pid_t& pid : pids_) {
      if (waitpid(pid, nullptr, WNOHANG) == pid) pid = start();
    }
  }

 private:
  pid_t start() const {
    const pid_t pid = fork();
    if (pid == 0) hold_again_and_again(folder_, shared_);
    return pid;
  }

  std::string folder_;
  Shared& shared_;
  std::vector<pid_t> pids_;
};

TEST_F(RunLockTest, IsHeldByOneAtATimeWhoeverIsKilled) {
  constexpr int kCrowd = 4, kTakes = 60;
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const Delays late;
  auto& shared = *new (memory) Shared{};
  {
    Crowd crowd(temp_.path(), shared, kCrowd);
    std::minstd_rand random(1);
    while (shared.takes < kTakes) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 40000));
      crowd.kill_one(random() % kCrowd);
      crowd.replace_the_dead();
    }
  }
  EXPECT_EQ(shared.overlaps, 0);
  munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace cifar

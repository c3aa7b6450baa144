// What a rank does when another does not come: it says which one, and at which operation.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "comm/mpi_handle.h"
#include "mpi/mpi_test.h"
#include "unit/refusal.h"
#include "unit/temp_folder.h"

namespace cifar {
namespace {

using testing::HasSubstr;

// The last rank takes part only once all others have given up waiting, which each of them tells by
// a file. Then it hears their roll calls and makes up for what it missed, so that later tests find
// nothing under way.
class DeadlineTest : public MpiTest {
 protected:
  static constexpr double kShort = 0.2;

  void SetUp() override {
    MpiTest::SetUp();
    if (IsSkipped()) return;
    if (size() == 1) GTEST_SKIP() << "one rank waits for nobody";
    if (size() > 3) GTEST_SKIP() << "as on three ranks, where it takes a quarter of a minute";
    folder_ = world->gather(mine_.path())[0];
  }
  void TearDown() override {
    if (!folder_.empty()) communicator()->barrier();
  }

  bool late() const { return rank() == size() - 1; }

  void await_the_others() const {
    for (int other = 0; other < size() - 1; ++other) {
      while (!std::filesystem::exists(folder_ + "/" + std::to_string(other))) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      int64_t answer[3];
      MPI_Recv(answer, 3, MPI_INT64_T, other, MPI_ANY_TAG, world->mpi()->roll, MPI_STATUS_IGNORE);
    }
  }

  template <typename Call>
  void expect_given_up(const std::string& operation, const Call& call) const {
    const std::string text =
        fmt::format("{}: rank {} (host {}) did not arrive within 0.2 s; expected all {} ranks",
                    operation, size() - 1, world->host(), size());
    EXPECT_THAT(refusal(ExitCode::kPeerLost, call), HasSubstr(text));
    write_file(folder_ + "/" + std::to_string(rank()), "", ExitCode::kData);
  }

  TempFolder mine_;
  std::string folder_;
};

TEST_P(DeadlineTest, AnAllReduceNamesTheRankThatIsMissingAndTheStep) {
  const auto tensor = torch::ones({1000}, device());
  if (late()) {
    await_the_others();
    communicator()->all_reduce_sum(tensor);
  } else {
    const auto comm = communicator(kShort);
    comm->set_step(7);
    comm->start_all_reduce_sum(tensor);
    expect_given_up("all-reduce of step 7", [&] { comm->finish(); });
  }
}

TEST_P(DeadlineTest, ABarrierGivesUp) {
  if (late()) {
    await_the_others();
    communicator()->barrier();
  } else {
    expect_given_up("barrier", [&] { communicator(kShort)->barrier(); });
  }
}

// MPI writes into the tensor after the caller has given up and let go of it.
TEST_P(DeadlineTest, ABroadcastGivesUp) {
  const auto tensor = [&] { return torch::ones({1000}, device()); };
  if (late()) {
    await_the_others();
    communicator()->broadcast(tensor(), size() - 1);
  } else {
    expect_given_up("broadcast", [&] { communicator(kShort)->broadcast(tensor(), size() - 1); });
  }
}

// The others wait for nobody but the late rank, and it for all of them.
TEST_P(DeadlineTest, AnExchangeGivesUp) {
  const auto tensor = [&] { return torch::ones({1 << 20}, device()); };
  if (late()) {
    await_the_others();
    std::vector<cifar::Message> sends;
    for (int other = 0; other < size() - 1; ++other) sends.push_back({tensor(), other});
    communicator()->exchange(sends, {});
  } else {
    expect_given_up("exchange", [&] {
      communicator(kShort)->exchange({}, {{tensor(), size() - 1}});
    });
  }
}

// Rank 0 waits for the last rank's message, which never comes; all are there and answer. The others
// are one operation further and wait for rank 0.
TEST_P(DeadlineTest, AMessageThatIsLostIsNobodysFault) {
  const auto comm = communicator(rank() == 0 ? 1 : kPatience);  // time to hear all answers
  const auto wait = [&] {
    if (rank() > 0) return comm->exchange({}, {});
    comm->exchange({}, {{torch::ones({10}), size() - 1}});
  };
  if (rank() == 0) {
    EXPECT_THAT(refusal(ExitCode::kPeerLost, wait), HasSubstr("though all ranks are there"));
    communicator()->barrier();
  } else {
    wait();
    EXPECT_THAT(refusal(ExitCode::kPeerLost, [&] { comm->barrier(); }),
                HasSubstr("barrier: rank 0 (host"));
  }
  if (late()) communicator()->exchange({{torch::ones({10}), 0}}, {});
}

// A child process stops rank 0 for longer than its deadline while it waits, lets it go on, and
// tells the last rank, which then comes: a rank does not count the time for which it was stopped
// itself.
TEST_P(DeadlineTest, ARankThatWasStoppedWaitsAnew) {
  const std::string file = folder_ + "/gone-on";
  if (rank() == 0) {
    const pid_t waiter = getpid(), child = fork();
    if (child == 0) {
      usleep(300'000);
      kill(waiter, SIGSTOP);
      usleep(2'000'000);
      kill(waiter, SIGCONT);
      usleep(300'000);  // in which rank 0 would give up
      close(creat(file.c_str(), 0600));
      _exit(0);
    }
    communicator(1)->barrier();
    waitpid(child, nullptr, 0);
  } else {
    while (late() && !std::filesystem::exists(file)) usleep(1000);
    communicator()->barrier();
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, DeadlineTest, testing::Values(torch::kCPU, torch::kCUDA),
                         device_name);

}  // namespace
}  // namespace cifar

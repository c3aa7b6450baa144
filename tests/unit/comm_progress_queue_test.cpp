// When work on a device counts as overdue; the device is a counter of works done.
#include <gtest/gtest.h>

#include "comm/progress_queue.h"

namespace cifar {
namespace {

class ProgressQueueTest : public testing::Test {
 protected:
  void add(double seconds) {
    const int64_t number = added_++;
    queue_.add(
        {"all-reduce", number}, [this, number] { return done_ > number; }, at(seconds));
  }
  // The step of the work that is overdue; -1: none.
  int64_t overdue(double seconds) {
    const auto operation = queue_.overdue(at(seconds));
    return operation ? operation->step : -1;
  }
  static ProgressQueue::Clock::time_point at(double seconds) {
    return ProgressQueue::Clock::time_point(
        std::chrono::milliseconds(static_cast<int64_t>(1000 * seconds)));
  }

  ProgressQueue queue_{10};
  int64_t added_ = 0, done_ = 0;
};

TEST_F(ProgressQueueTest, NothingIsNeverOverdue) {
  EXPECT_EQ(overdue(0), -1);
  EXPECT_EQ(overdue(1000), -1);
}

TEST_F(ProgressQueueTest, NamesTheOldestThatIsNotDone) {
  for (int k = 0; k < 3; ++k) add(100);
  done_ = 1;
  EXPECT_EQ(overdue(105), -1);
  EXPECT_EQ(overdue(115), -1);
  EXPECT_EQ(overdue(116), 1);
}

// A hundred works of two seconds each are not late, though the last is done 200 s after it came.
TEST_F(ProgressQueueTest, TheHostMayBeFarAhead) {
  for (int k = 0; k < 100; ++k) add(0);
  for (double now = 0; now < 200; now += 2) {
    done_ = static_cast<int64_t>(now / 2);
    EXPECT_EQ(overdue(now), -1) << now;
  }
}

TEST_F(ProgressQueueTest, TimeWithoutWorkDoesNotCount) {
  add(0);
  done_ = 1;
  EXPECT_EQ(overdue(1), -1);
  add(500);
  EXPECT_EQ(overdue(505), -1);
  EXPECT_EQ(overdue(511), 1);
}

TEST_F(ProgressQueueTest, TimeInWhichTheProcessWasStoppedDoesNotCount) {
  add(0);
  queue_.restart(at(100));
  EXPECT_EQ(overdue(105), -1);
  EXPECT_EQ(overdue(111), 0);
}

}  // namespace
}  // namespace cifar

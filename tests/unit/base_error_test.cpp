#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace cifar {
namespace {

TEST(Error, ReadsSubjectFoundExpected) {
  const Error error(ExitCode::kData, "batch_1.bin", "12 bytes", "30730000 bytes");
  EXPECT_STREQ(error.what(), "batch_1.bin: 12 bytes; expected 30730000 bytes");
  EXPECT_EQ(error.code(), ExitCode::kData);
}

TEST(Error, LeavesOutAnEmptyExpectation) {
  EXPECT_STREQ(Error(ExitCode::kUsage, "--seed", "twice").what(), "--seed: twice");
}

TEST(Error, NamesTheCheckThatFailed) {
  const Error error(ExitCode::kUsage, "a", "b");
  EXPECT_EQ(error.where(), "base_error_test.cpp:" + std::to_string(__LINE__ - 1));
}

// Scripts and batch systems rely on the numbers.
TEST(ExitCode, ValuesAreFixed) {
  EXPECT_EQ(static_cast<int>(ExitCode::kDone), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::kUsage), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::kData), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::kCheckpoint), 4);
  EXPECT_EQ(static_cast<int>(ExitCode::kDiverged), 5);
  EXPECT_EQ(static_cast<int>(ExitCode::kPeerLost), 6);
  EXPECT_EQ(static_cast<int>(ExitCode::kReplicasDiffer), 7);
  EXPECT_EQ(static_cast<int>(ExitCode::kStopped), 75);
}

}  // namespace
}  // namespace cifar

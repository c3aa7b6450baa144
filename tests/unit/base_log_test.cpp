// What becomes of lines that standard output does not take.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "base/files.h"
#include "base/log.h"
#include "temp_folder.h"

namespace cifar {
namespace {

using testing::HasSubstr;

// Standard output leads to a file for as long as this lives.
class OutputTo {
 public:
  explicit OutputTo(const std::string& path) : before_(dup(STDOUT_FILENO)) {
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(file, STDOUT_FILENO);
    close(file);
  }
  ~OutputTo() {
    dup2(before_, STDOUT_FILENO);
    close(before_);
  }

 private:
  int before_;
};

TEST(Log, KeepsLinesUntilThereIsRoom) {
  const TempFolder folder;
  const Log log(0);
  {
    const OutputTo full("/dev/full");
    log.line("one");
    log.line("two");
    EXPECT_THAT(log.write_failure(), HasSubstr("No space left on device"));
  }
  const OutputTo file(folder / "log");
  log.line("three");
  EXPECT_EQ(log.write_failure(), "");
  EXPECT_EQ(read_file(folder / "log", ExitCode::kUsage), "one\ntwo\nthree\n");
}

TEST(Log, WritesWhatIsLeftWhenItIsAsked) {
  const TempFolder folder;
  const Log log(0);
  {
    const OutputTo full("/dev/full");
    log.line("one");
  }
  const OutputTo file(folder / "log");
  EXPECT_EQ(log.write_failure(), "");
  EXPECT_EQ(read_file(folder / "log", ExitCode::kUsage), "one\n");
}

TEST(Log, OtherRanksHaveNothingToSay) {
  const Log log(1);
  const OutputTo full("/dev/full");
  log.line("one");
  EXPECT_EQ(log.write_failure(), "");
}

}  // namespace
}  // namespace cifar

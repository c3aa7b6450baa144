// Lines of metrics that the disk does not take at once. A folder in place of the file stands for
// it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "refusal.h"
#include "temp_folder.h"
#include "train/metrics_writer.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr ExitCode kCode = ExitCode::kCheckpoint;

class MetricsWriterTest : public testing::Test {
 protected:
  void block() const { make_folder(file_, kCode); }
  void unblock() const { fs::remove(file_); }
  std::string written() const { return read_file(file_, kCode); }

  TempFolder temp_;
  std::string file_ = temp_ / "run/metrics.jsonl";
  Log silent_{1};
  RunDirectory directory_{temp_ / "run", "test", false, 0};
};

TEST_F(MetricsWriterTest, WritesEachLineAtOnce) {
  MetricsWriter writer(directory_, silent_);
  writer.append("{\"epoch\":1}");
  EXPECT_EQ(written(), "{\"epoch\":1}\n");
  writer.append("{\"epoch\":2}");
  EXPECT_EQ(written(), "{\"epoch\":1}\n{\"epoch\":2}\n");
  writer.finish();
}

TEST_F(MetricsWriterTest, KeepsLinesForTheNextTry) {
  MetricsWriter writer(directory_, silent_);
  block();
  for (const char* line : {"1", "2"}) writer.append(line);
  unblock();
  writer.append("3");
  EXPECT_EQ(written(), "1\n2\n3\n");
}

TEST_F(MetricsWriterTest, WarnsOnceAndRefusesAtTheEnd) {
  testing::internal::CaptureStderr();
  const Log log(0);
  MetricsWriter writer(directory_, log);
  block();
  for (const char* line : {"1", "2"}) writer.append(line);
  const std::string told = testing::internal::GetCapturedStderr();
  EXPECT_THAT(told, HasSubstr("metrics.jsonl: Is a directory"));
  EXPECT_EQ(std::ranges::count(told, '\n'), 1);
  EXPECT_THAT(refusal(kCode, [&] { writer.finish(); }), HasSubstr("metrics.jsonl"));
}

TEST_F(MetricsWriterTest, TriesOnceMoreWhenItGoes) {
  {
    MetricsWriter writer(directory_, silent_);
    block();
    writer.append("1");
    unblock();
  }
  EXPECT_EQ(written(), "1\n");
}

}  // namespace
}  // namespace cifar

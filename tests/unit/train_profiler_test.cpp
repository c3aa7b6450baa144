// The profile of a few steps: the arithmetic of the table, and what is profiled.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "temp_folder.h"
#include "train/profiler.h"

namespace cifar {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(ProfileTable, CountsTheTimeInAnOperationItself) {
  // outer 0..100 holds inner 10..30 and 40..80, which holds leaf 50..60; another thread overlaps.
  const std::string table = profile_table({{"outer", 1, 0, 100'000'000},
                                           {"inner", 1, 10'000'000, 30'000'000},
                                           {"inner", 1, 40'000'000, 80'000'000},
                                           {"leaf", 1, 50'000'000, 60'000'000},
                                           {"other", 2, 20'000'000, 120'000'000}},
                                          10);
  EXPECT_THAT(table, testing::MatchesRegex("operation +calls +ms +share\n"
                                           "other +1 +100.000 +50.0%\n"
                                           "inner +2 +50.000 +25.0%\n"
                                           "outer +1 +40.000 +20.0%\n"
                                           "leaf +1 +10.000 +5.0%"));
}

TEST(ProfileTable, PutsTheRestInOneRow) {
  const std::string table = profile_table(
      {{"a", 1, 0, 5'000'000}, {"b", 1, 6'000'000, 8'000'000}, {"c", 1, 9'000'000, 10'000'000}}, 2);
  EXPECT_THAT(table, HasSubstr("\na "));
  EXPECT_THAT(table, testing::ContainsRegex("\n2 others +2 +3.000 +37.5%"));
  EXPECT_THAT(profile_table({}, 2), Not(HasSubstr("\n")));
}

TEST(Profiler, ProfilesSoManyStepsAfterTheFirst) {
  const TempFolder folder;
  const std::string file = folder.path() + "/trace.json";
  Profiler profiler(2, torch::kCPU);
  std::string table;
  int64_t at = 0;
  for (int64_t step = 1; step <= 10; ++step) {
    profiler.step_begins();
    const auto matrix = torch::ones({64, 64});
    for (int64_t i = 0; i < step; ++i) torch::mm(matrix, matrix);
    const std::string found = profiler.step_ended(file);
    if (found.empty()) continue;
    EXPECT_TRUE(table.empty());
    table = found;
    at = step;
  }
  EXPECT_EQ(at, 7);
  EXPECT_THAT(table, testing::ContainsRegex("\naten::mm +13 "));  // 6 in step 6, 7 in step 7
  const auto trace = nlohmann::json::parse(read_file(file, ExitCode::kUsage));
  EXPECT_GT(trace.at("traceEvents").size(), 13u);
}

TEST(Profiler, OfNoStepsDoesNothing) {
  Profiler profiler(0, torch::kCPU);
  for (int64_t step = 0; step < 10; ++step) {
    profiler.step_begins();
    EXPECT_EQ(profiler.step_ended("/nowhere/trace.json"), "");
  }
}

}  // namespace
}  // namespace cifar

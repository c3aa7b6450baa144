// Mutated files of CIFAR-10's binary layout are refused exactly when a size or a label is wrong.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/error.h"
#include "data/cifar10.h"
#include "fuzz.h"
#include "temp_folder.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBytes = 10000 * kRecordBytes;

// Six files of black airplanes, which take no room on the disk.
class FuzzData : public testing::Test {
 protected:
  FuzzData() {
    for (int f = 0; f < 6; ++f) resize(f, kBytes);
  }

  std::string file(int f) const {
    return folder_ / (f < 5 ? fmt::format("data_batch_{}.bin", f + 1) : "test_batch.bin");
  }
  void resize(int f, int64_t bytes) const {
    std::ofstream(file(f), std::ios::app).close();
    fs::resize_file(file(f), bytes);
  }
  void put(int f, int64_t offset, uint8_t value) const {
    std::fstream stream(file(f), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(offset);
    stream.put(static_cast<char>(value));
  }

  TempFolder folder_;
};

TEST_F(FuzzData, WrongSizesAndLabelsAreRefused) {
  Mutator mutator(8);
  int loads = 0;
  for (int i = 0; i < 100; ++i) {
    SCOPED_TRACE(i);
    const int f = static_cast<int>(mutator.below(6));
    const bool cut = mutator.chance(20);
    const int64_t size = cut ? static_cast<int64_t>(mutator.below(2 * kBytes)) : kBytes;
    std::map<int64_t, uint8_t> changes;
    for (size_t count = mutator.below(3); count > 0; --count) {
      const auto record = static_cast<int64_t>(mutator.below(10000));
      const auto place = static_cast<int64_t>(mutator.chance(60) ? 0 : mutator.below(kRecordBytes));
      changes[record * kRecordBytes + place] =
          static_cast<uint8_t>(mutator.below(mutator.chance(50) ? 12 : 256));
    }
    bool sound = size == kBytes;
    for (const auto& [offset, value] : changes) {
      put(f, offset, value);
      sound &= offset % kRecordBytes != 0 || value < kClasses;
    }
    resize(f, size);
    try {
      const Dataset data = open_cifar10(folder_.path());
      EXPECT_TRUE(sound);
      const ImageSet& set = f < 5 ? data.train : data.test;
      for (const auto& [offset, value] : changes) {
        const uint8_t* record = set.image((f < 5 ? f : 0) * 10000 + offset / kRecordBytes) - 1;
        EXPECT_EQ(record[offset % kRecordBytes], value);
      }
      ++loads;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kData);
      EXPECT_FALSE(sound) << error.what();
      EXPECT_NE(std::string(error.what()).find(file(f)), std::string::npos) << error.what();
    }
    resize(f, 0);
    resize(f, kBytes);
  }
  EXPECT_GT(loads, 10);
  EXPECT_LT(loads, 90);
}

}  // namespace
}  // namespace cifar

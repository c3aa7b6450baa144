// Reading the binary files of CIFAR-10, and what each kind of damaged folder is told.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/cifar10.h"
#include "obedient_root.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kRecords = 10000;

// A folder of files of the right size, made anew for each test: sparse, all black airplanes, until
// fill() gives record i of file f the label (i + f) % 10 and byte j of its image (i + j + f) % 251.
class Cifar10 : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "cifar10-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    parent_ = name;
    folder_ = parent_ / "cifar-10-batches-bin";
    fs::create_directory(folder_);
    for (int f = 0; f < 6; ++f) {
      std::ofstream(file(f)).close();
      fs::resize_file(file(f), kRecords * kRecordBytes);
    }
  }
  void TearDown() override { fs::remove_all(parent_); }

  fs::path file(int f) const {
    return folder_ / (f < 5 ? fmt::format("data_batch_{}.bin", f + 1) : "test_batch.bin");
  }

  void fill() const {
    for (int f = 0; f < 6; ++f) fill(f);
  }

  void fill(int f) const {
    std::vector<char> bytes(kRecords * kRecordBytes);
    for (int64_t i = 0; i < kRecords; ++i) {
      char* record = bytes.data() + i * kRecordBytes;
      record[0] = static_cast<char>((i + f) % kClasses);
      int value = static_cast<int>((i + f) % 251);
      for (int j = 0; j < kImageBytes; ++j) {
        record[1 + j] = static_cast<char>(value);
        value = value == 250 ? 0 : value + 1;
      }
    }
    std::ofstream(file(f), std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  void put_byte(int f, int64_t offset, uint8_t value) const {
    std::fstream stream(file(f), std::ios::binary | std::ios::in | std::ios::out);
    stream.seekp(offset);
    stream.put(static_cast<char>(value));
  }

  // Opening `folder` fails with kData and a message that has all of `parts`.
  static void expect_refused(const fs::path& folder, const std::vector<std::string>& parts) {
    try {
      open_cifar10(folder.string());
      ADD_FAILURE() << "opened " << folder;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kData);
      for (const std::string& part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << "no '" << part << "' in: " << error.what();
      }
    }
  }

  fs::path parent_;
  fs::path folder_;
};

TEST_F(Cifar10, ReadsEveryFileInOrder) {
  fill();
  const Dataset data = open_cifar10(folder_.string());
  EXPECT_FALSE(data.synthetic);
  EXPECT_EQ(data.name, folder_.string());
  ASSERT_EQ(data.train.size(), 50000);
  ASSERT_EQ(data.test.size(), 10000);
  for (const int64_t index : {0, 1, 9999, 10000, 25000, 49999}) {
    const int64_t key = index % kRecords + index / kRecords;
    EXPECT_EQ(data.train.label(index), key % 10) << index;
    EXPECT_EQ(data.train.image(index)[0], key % 251) << index;
    EXPECT_EQ(data.train.image(index)[3071], (key + 3071) % 251) << index;
  }
  EXPECT_EQ(data.test.label(9999), (9999 + 5) % 10);
  EXPECT_EQ(data.test.image(9999)[1024], (9999 + 5 + 1024) % 251);
}

TEST_F(Cifar10, FindsTheFilesFromTheParent) {
  EXPECT_EQ(open_cifar10(parent_.string()).name, folder_.string());
}

TEST_F(Cifar10, CountsTheClasses) {
  fill();
  const Dataset data = open_cifar10(folder_.string());
  for (const int64_t count : data.train.class_counts()) EXPECT_EQ(count, 5000);
  for (const int64_t count : data.test.class_counts()) EXPECT_EQ(count, 1000);
}

TEST_F(Cifar10, KeepsTheBytesForACopyOfTheSet) {
  fill(2);
  ImageSet copy;
  { copy = open_cifar10(folder_.string()).train; }
  EXPECT_EQ(copy.label(20003), (3 + 2) % 10);
}

// With a map the bytes would change, and reading those beyond the end would kill the process.
TEST_F(Cifar10, WhatHappensToAFileLaterDoesNotMatter) {
  fill(0);
  const Dataset data = open_cifar10(folder_.string());
  put_byte(0, 1, 99);
  fs::resize_file(file(0), 1000);
  EXPECT_EQ(data.train.image(0)[0], 0);
  EXPECT_EQ(data.train.label(9999), 9);
}

TEST_F(Cifar10, RefusesAMissingFolderAndSaysWhatHelps) {
  const fs::path missing = parent_ / "nowhere";
  expect_refused(missing, {missing.string(), "no such folder",
                           "launch/fetch-cifar10 " + missing.string(), "--data synthetic"});
}

TEST_F(Cifar10, RefusesAnEmptyName) {
  expect_refused("", {"launch/fetch-cifar10 DIR"});
}

TEST_F(Cifar10, RefusesAFileInPlaceOfTheFolder) {
  expect_refused(file(0), {file(0).string(), "not a folder"});
}

TEST_F(Cifar10, RefusesAMissingFile) {
  fs::remove(file(3));
  expect_refused(folder_, {file(3).string(), "no such file", "launch/fetch-cifar10"});
}

TEST_F(Cifar10, RefusesAFolderInPlaceOfAFile) {
  fs::remove(file(5));
  fs::create_directory(file(5));
  expect_refused(parent_, {file(5).string(), "a folder", "30730000 bytes"});
}

TEST_F(Cifar10, RefusesAPipeInPlaceOfAFile) {
  fs::remove(file(1));
  ASSERT_EQ(::mkfifo(file(1).c_str(), 0600), 0);
  expect_refused(folder_, {file(1).string(), "not a regular file"});
}

TEST_F(Cifar10, RefusesAnUnreadableFile) {
  const ObedientRoot root;
  fs::permissions(file(2), fs::perms::none);
  expect_refused(folder_, {file(2).string(), "Permission denied"});
}

TEST_F(Cifar10, RefusesATruncatedFile) {
  fs::resize_file(file(4), 30729999);
  expect_refused(folder_, {file(4).string(), "30729999 bytes, truncated", "30730000 bytes"});
}

TEST_F(Cifar10, RefusesAnEmptyFile) {
  fs::resize_file(file(0), 0);
  expect_refused(folder_, {file(0).string(), "0 bytes, truncated"});
}

TEST_F(Cifar10, RefusesAnOverlongFile) {
  fs::resize_file(file(0), 30730001);
  expect_refused(folder_, {file(0).string(), "30730001 bytes, too long", "30730000 bytes"});
}

TEST_F(Cifar10, RefusesALabelAboveNine) {
  put_byte(1, 4711 * kRecordBytes, 200);
  expect_refused(folder_, {file(1).string(), "record 4711", "label 200", "0 to 9"});
}

TEST_F(Cifar10, RefusesALabelOfTenInTheLastRecordOfTheTestFile) {
  put_byte(5, 9999 * kRecordBytes, 10);
  expect_refused(folder_, {file(5).string(), "record 9999", "label 10"});
}

}  // namespace
}  // namespace cifar

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/log.h"
#include "obedient_root.h"
#include "refusal.h"
#include "temp_folder.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr ExitCode kCode = ExitCode::kCheckpoint;

std::string many_bytes() {
  std::string bytes(300'000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 >> 3);
  return bytes;
}

TEST(WriteFile, ReadFileBringsTheBytesBack) {
  const TempFolder folder;
  for (const std::string& bytes : {std::string(), std::string("a\0b\n", 4), many_bytes()}) {
    write_file(folder / "file", bytes, kCode);
    EXPECT_EQ(read_file(folder / "file", kCode), bytes);
  }
  EXPECT_FALSE(fs::exists(folder / "file.part"));
}

TEST(WriteFile, ReplacesTheOldFileWhole) {
  const TempFolder folder;
  write_file(folder / "file", many_bytes(), kCode);
  write_file(folder / "file", "short", kCode);
  EXPECT_EQ(read_file(folder / "file", kCode), "short");
}

// PATH.part leads to a device that is always full.
TEST(WriteFile, OnAFullDiskTheOldFileSurvives) {
  const TempFolder folder;
  write_file(folder / "file", "old", kCode);
  fs::create_symlink("/dev/full", folder / "file.part");
  const std::string message =
      refusal(kCode, [&] { write_file(folder / "file", many_bytes(), kCode); });
  EXPECT_THAT(message, HasSubstr(folder / "file"));
  EXPECT_THAT(message, HasSubstr("No space left on device"));
  EXPECT_EQ(read_file(folder / "file", kCode), "old");
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder / "file.part")));
}

TEST(WriteFile, AFolderInPlaceOfTheFileIsLeftAlone) {
  const TempFolder folder;
  make_folder(folder / "file/inner", kCode);
  EXPECT_THAT(refusal(kCode, [&] { write_file(folder / "file", "new", kCode); }),
              HasSubstr("Is a directory"));
  EXPECT_TRUE(fs::is_directory(folder / "file/inner"));
  EXPECT_FALSE(fs::exists(folder / "file.part"));
}

TEST(WriteFile, NamesAMissingFolder) {
  const TempFolder folder;
  EXPECT_THAT(refusal(kCode, [&] { write_file(folder / "none/file", "new", kCode); }),
              HasSubstr("none/file: No such file or directory"));
}

TEST(AppendFile, AddsToWhatIsThere) {
  const TempFolder folder;
  append_file(folder / "file", "a\n", kCode);
  append_file(folder / "file", many_bytes(), kCode);
  EXPECT_EQ(read_file(folder / "file", kCode), "a\n" + many_bytes());
}

// A file that may not grow takes a part of the bytes.
TEST(AppendFile, TakesBackWhatDidNotFit) {
  const TempFolder folder;
  append_file(folder / "file", "old\n", kCode);
  prepare_output();  // an error instead of SIGXFSZ
  rlimit before = {};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit narrow = {1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &narrow);
  const std::string message =
      refusal(kCode, [&] { append_file(folder / "file", many_bytes(), kCode); });
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(message, HasSubstr("file: File too large; expected"));
  EXPECT_EQ(read_file(folder / "file", kCode), "old\n");
}

TEST(AppendFile, NamesTheFileAndTheSystemsReason) {
  const TempFolder folder;
  EXPECT_THAT(refusal(kCode, [&] { append_file("/dev/full", "a\n", kCode); }),
              HasSubstr("/dev/full: No space left on device; expected"));
  EXPECT_THAT(refusal(kCode, [&] { append_file(folder.path(), "a\n", kCode); }),
              HasSubstr("Is a directory; expected"));
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_THAT(refusal(kCode, [&] { append_file(folder / "fifo", "a\n", kCode); }),
              HasSubstr("fifo: No such device or address; expected"));
}

TEST(ReadFile, NamesTheFileAndTheSystemsReason) {
  const TempFolder folder;
  EXPECT_THAT(refusal(ExitCode::kData, [&] { read_file(folder / "none", ExitCode::kData); }),
              HasSubstr("none: No such file or directory; expected a readable file"));
  EXPECT_THAT(refusal(ExitCode::kData, [&] { read_file(folder.path(), ExitCode::kData); }),
              HasSubstr("a folder; expected a regular file"));
}

TEST(ReadFile, RefusesWhatHasNoEndAndWhatIsTooLarge) {
  const TempFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const std::string& path : {folder / "fifo", std::string("/dev/zero")}) {
    EXPECT_THAT(refusal(kCode, [&] { read_file(path, kCode); }),
                HasSubstr("not a regular file; expected a regular file"));
  }
  write_file(folder / "file", "12345", kCode);
  EXPECT_EQ(read_file(folder / "file", kCode, 5), "12345");
  EXPECT_THAT(refusal(kCode, [&] { read_file(folder / "file", kCode, 4); }),
              HasSubstr("5 bytes; expected at most 4 bytes"));
}

TEST(MakeFolder, MakesParentsAndIsContentWithWhatIsThere) {
  const TempFolder folder;
  make_folder(folder / "a/b/c", kCode);
  make_folder(folder / "a/b/c", kCode);
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_file(folder / "a/file", "", kCode);
  EXPECT_THAT(refusal(kCode, [&] { make_folder(folder / "a/file/d", kCode); }),
              HasSubstr("a/file/d: Not a directory"));
}

TEST(PathExists, TellsMissingFromUnknown) {
  const TempFolder folder;
  write_file(folder / "file", "", kCode);
  EXPECT_TRUE(path_exists(folder / "file", kCode));
  EXPECT_FALSE(path_exists(folder / "none", kCode));
  EXPECT_FALSE(path_exists(folder / "file/none", kCode));
  EXPECT_THAT(refusal(kCode, [&] { path_exists(folder / std::string(300, 'x'), kCode); }),
              HasSubstr("File name too long; expected"));
}

TEST(PathsIn, AFolderThatIsMissingIsEmptyAndOneThatIsClosedAnError) {
  const TempFolder folder;
  EXPECT_THAT(paths_in(folder / "none", kCode), IsEmpty());
  for (const char* name : {"a", "b"}) write_file(folder / name, "", kCode);
  EXPECT_THAT(paths_in(folder.path(), kCode), UnorderedElementsAre(folder / "a", folder / "b"));
  EXPECT_THAT(refusal(kCode, [&] { paths_in(folder / "a", kCode); }),
              HasSubstr("a: Not a directory; expected a folder"));
  const ObedientRoot root;
  fs::permissions(folder.path(), fs::perms::none);
  EXPECT_THAT(refusal(kCode, [&] { paths_in(folder.path(), kCode); }),
              HasSubstr("Permission denied; expected a folder that can be read"));
  fs::permissions(folder.path(), fs::perms::owner_all);
}

TEST(AbsolutePath, HasNoDots) {
  EXPECT_EQ(absolute_path("/a/./b/../c"), "/a/c");
  EXPECT_EQ(absolute_path("a"), (fs::current_path() / "a").string());
}

}  // namespace
}  // namespace cifar

#include "data/cifar10.h"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include "base/files.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFileImages = 10000;
constexpr int64_t kFileBytes = kFileImages * kRecordBytes;
constexpr const char* kFirstFile = "data_batch_1.bin";

// Why there is nothing of that name.
std::string reason_of(const fs::file_status& status, const std::error_code& failure,
                      const char* missing) {
  return fs::status_known(status) ? missing : failure.message();
}

fs::path find_folder(const fs::path& given) {
  std::error_code ignored;  // what cannot be looked at counts as missing here
  const fs::path inner = given / "cifar-10-batches-bin";
  if (!fs::exists(given / kFirstFile, ignored) && fs::is_directory(inner, ignored)) return inner;
  if (fs::is_directory(given, ignored)) return given;
  std::error_code failure;
  const fs::file_status status = fs::status(given, failure);
  const bool exists = fs::exists(status);
  throw Error(ExitCode::kData, fmt::format("data folder '{}'", given.string()),
              exists ? "not a folder" : reason_of(status, failure, "no such folder"),
              fmt::format("the binary files of CIFAR-10: `launch/fetch-cifar10 {}` gets them, and "
                          "`--data synthetic` trains without any",
                          given.empty() || exists ? "DIR" : given.string()));
}

std::string whole_file() {
  return fmt::format("a CIFAR-10 file of {} bytes", kFileBytes);
}

void check_size(const fs::path& file, int64_t bytes) {
  if (bytes == kFileBytes) return;
  throw Error(ExitCode::kData, file.string(),
              fmt::format("{} bytes, {}", bytes, bytes < kFileBytes ? "truncated" : "too long"),
              whole_file());
}

// What is wrong already before it is read.
void check_file(const fs::path& file) {
  std::error_code failure;
  const fs::file_status status = fs::status(file, failure);
  if (!fs::exists(status)) {
    throw Error(ExitCode::kData, file.string(), reason_of(status, failure, "no such file"),
                whole_file() + "; `launch/fetch-cifar10 DIR` gets it");
  }
  if (!fs::is_regular_file(status)) {
    throw Error(ExitCode::kData, file.string(),
                fs::is_directory(status) ? "a folder" : "not a regular file", whole_file());
  }
  const uintmax_t bytes = fs::file_size(file, failure);
  if (!failure) check_size(file, static_cast<int64_t>(bytes));
}

// Read, not mapped: what happens to the file later must not change a training, let alone end it,
// and not every file system can map.
RecordBlock open_file(const fs::path& file) {
  check_file(file);
  const auto bytes = std::make_shared<const std::string>(
      read_file(file.string(), ExitCode::kData, kFileBytes + 1));
  check_size(file, static_cast<int64_t>(bytes->size()));
  const RecordBlock block{{bytes, reinterpret_cast<const uint8_t*>(bytes->data())}, kFileImages};
  for (int64_t i = 0; i < block.records; ++i) {
    const int label = block.bytes.get()[i * kRecordBytes];
    if (label >= kClasses) {
      throw Error(ExitCode::kData, fmt::format("{}, record {} (from 0)", file.string(), i),
                  fmt::format("label {}", label),
                  fmt::format("a label from 0 to {}", kClasses - 1));
    }
  }
  return block;
}

}  // namespace

Dataset open_cifar10(const std::string& folder) {
  const fs::path found = find_folder(folder);
  std::vector<RecordBlock> train;
  for (int i = 1; i <= 5; ++i)
    train.push_back(open_file(found / fmt::format("data_batch_{}.bin", i)));
  ImageSet test({open_file(found / "test_batch.bin")});
  return {ImageSet(std::move(train)), std::move(test), found.string(), false};
}

}  // namespace cifar

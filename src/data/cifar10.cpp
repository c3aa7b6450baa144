#include "data/cifar10.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "base/error.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFileImages = 10000;
constexpr int64_t kFileBytes = kFileImages * kRecordBytes;
constexpr const char* kFirstFile = "data_batch_1.bin";

fs::path find_folder(const fs::path& given) {
  std::error_code ignored;  // what cannot be looked at counts as missing here
  const fs::path inner = given / "cifar-10-batches-bin";
  if (!fs::exists(given / kFirstFile, ignored) && fs::is_directory(inner, ignored)) return inner;
  if (fs::is_directory(given, ignored)) return given;
  const bool exists = fs::exists(given, ignored);
  throw Error(ExitCode::kData, fmt::format("data folder '{}'", given.string()),
              exists ? "not a folder" : "no such folder",
              fmt::format("the binary files of CIFAR-10: `launch/fetch-cifar10 {}` gets them, and "
                          "`--data synthetic` trains without any",
                          given.empty() || exists ? "DIR" : given.string()));
}

void check_size(const fs::path& file) {
  const std::string expected = fmt::format("a CIFAR-10 file of {} bytes", kFileBytes);
  std::error_code failure;
  const fs::file_status status = fs::status(file, failure);
  if (!fs::exists(status)) {
    throw Error(
        ExitCode::kData, file.string(),
        failure && status.type() != fs::file_type::not_found ? failure.message() : "no such file",
        expected + "; `launch/fetch-cifar10 DIR` gets it");
  }
  if (!fs::is_regular_file(status)) {
    throw Error(ExitCode::kData, file.string(),
                fs::is_directory(status) ? "a folder" : "not a regular file", expected);
  }
  const auto bytes = static_cast<int64_t>(fs::file_size(file));
  if (bytes != kFileBytes) {
    throw Error(ExitCode::kData, file.string(),
                fmt::format("{} bytes, {}", bytes, bytes < kFileBytes ? "truncated" : "too long"),
                expected);
  }
}

RecordBlock open_file(const fs::path& file) {
  check_size(file);
  RecordBlock block = map_records(file.string(), kFileBytes);
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

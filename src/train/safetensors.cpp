#include "train/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "train/little_endian.h"
#include "train/safetensors_header.h"
#include "train/shortened.h"
#include "train/tensor_limits.h"

namespace cifar {
namespace {

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kLongestHeader = 100'000'000;  // the format's own limit

struct StoredType {
  const char* name;
  torch::ScalarType type;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", torch::kFloat32},   {"F64", torch::kFloat64}, {"F16", torch::kFloat16},
    {"BF16", torch::kBFloat16}, {"I64", torch::kInt64},   {"I32", torch::kInt32},
    {"I16", torch::kInt16},     {"I8", torch::kInt8},     {"U8", torch::kUInt8},
    {"BOOL", torch::kUInt8},
};

torch::Tensor tensor_of(const SafetensorsEntry& entry, std::string_view data) {
  const std::string name = in_quotes(entry.name);
  const auto* known = std::ranges::find(kStoredTypes, entry.type, &StoredType::name);
  if (known == std::end(kStoredTypes)) {
    throw std::runtime_error(name + " is of the type " + shortened(entry.type));
  }
  const std::string_view bytes = data.substr(entry.begin, entry.end - entry.begin);
  uint64_t count = bytes.size() / torch::elementSize(known->type), numbers = 1;
  for (const int64_t size : entry.shape) {
    const auto factor = static_cast<uint64_t>(size);
    // A product that goes beyond is no matter how large.
    numbers =
        factor != 0 && numbers > count / factor && numbers != 0 ? count + 1 : numbers * factor;
  }
  if (numbers != count || bytes.size() % torch::elementSize(known->type) != 0) {
    throw std::runtime_error(
        fmt::format("{} has {} bytes, which its shape does not", name, bytes.size()));
  }
  if (!has_strides(entry.shape)) throw std::runtime_error(name + " has a shape beyond all bounds");
  const torch::Tensor tensor = torch::empty(entry.shape, known->type);
  if (!bytes.empty()) std::memcpy(tensor.mutable_data_ptr(), bytes.data(), bytes.size());
  return tensor;
}

// Sorted by where they begin, each begins where the one before it ends.
void check_places(std::vector<SafetensorsEntry>& entries, uint64_t size) {
  std::ranges::sort(entries, [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const SafetensorsEntry& entry : entries) {
    const std::string name = in_quotes(entry.name);
    if (entry.end > size || entry.begin > entry.end) {
      throw std::runtime_error(name + " reaches beyond the file's end (is it cut off?)");
    }
    if (entry.begin != at) {
      throw std::runtime_error(
          fmt::format("{} begins at byte {} instead of {}", name, entry.begin, at));
    }
    at = entry.end;
  }
  if (at != size) throw std::runtime_error(fmt::format("{} bytes behind its tensors", size - at));
}

}  // namespace

bool is_safetensors(std::string_view bytes) {
  constexpr uint64_t kNoText = uint64_t{1} << 40;  // eight letters are a larger number
  return bytes.size() > kLengthBytes && bytes[kLengthBytes] == '{' &&
         little_endian(bytes, 0, kLengthBytes) < kNoText;
}

NamedTensors read_safetensors(std::string_view bytes) {
  const uint64_t length = little_endian(bytes, 0, kLengthBytes);
  if (length > kLongestHeader) throw std::runtime_error("a header of more than 100 MB");
  if (length > bytes.size() - kLengthBytes) {
    throw std::runtime_error("a header beyond the file's end (is it cut off?)");
  }
  auto entries = parse_safetensors_header(bytes.substr(kLengthBytes, length));
  const std::string_view data = bytes.substr(kLengthBytes + length);
  check_places(entries, data.size());
  NamedTensors tensors;
  for (const SafetensorsEntry& entry : entries) tensors[entry.name] = tensor_of(entry, data);
  return tensors;
}

}  // namespace cifar

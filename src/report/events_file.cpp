#include "report/events_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "base/system_calls.h"

namespace cifar {
namespace {

// --- what records say

template <typename Word>
std::optional<Word> take_word(std::string_view& bytes) {
  if (bytes.size() < sizeof(Word)) return std::nullopt;
  Word word = 0;
  for (size_t i = 0; i < sizeof(Word); ++i) {
    word |= static_cast<Word>(static_cast<uint8_t>(bytes[i])) << (8 * i);
  }
  bytes.remove_prefix(sizeof(Word));
  return word;
}

std::optional<std::string_view> take_bytes(std::string_view& bytes, uint64_t size) {
  if (bytes.size() < size) return std::nullopt;
  const std::string_view taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return taken;
}

std::optional<std::string_view> take_record(std::string_view& bytes) {
  const std::string_view head = bytes.substr(0, sizeof(uint64_t));
  const auto size = take_word<uint64_t>(bytes);
  const auto size_crc = take_word<uint32_t>(bytes);
  if (!size || size_crc != masked_crc32c(head)) return std::nullopt;
  const auto record = take_bytes(bytes, *size);
  const auto crc = take_word<uint32_t>(bytes);
  if (!record || crc != masked_crc32c(*record)) return std::nullopt;
  return record;
}

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// A field of a message: its number, and a number or bytes.
struct Field {
  uint64_t id = 0, number = 0;
  std::string_view bytes;
};

// None at the end, and before what is no field.
std::optional<Field> take_field(std::string_view& bytes) {
  const auto key = take_varint(bytes);
  if (!key) return std::nullopt;
  Field field{*key >> 3, 0, {}};
  std::optional<uint64_t> number;
  switch (*key & 7) {
    case 0:
      number = take_varint(bytes);
      break;
    case 1:
      number = take_word<uint64_t>(bytes);
      break;
    case 5:
      number = take_word<uint32_t>(bytes);
      break;
    case 2:
      number = take_varint(bytes);
      if (const auto inner = number ? take_bytes(bytes, *number) : std::nullopt) {
        field.bytes = *inner;
      } else {
        return std::nullopt;
      }
  }
  if (!number) return std::nullopt;
  field.number = *number;
  return field;
}

Scalar scalar_in(std::string_view value) {
  Scalar scalar;
  while (const auto field = take_field(value)) {
    if (field->id == 1) scalar.tag = field->bytes;
    if (field->id == 2) scalar.value = std::bit_cast<float>(static_cast<uint32_t>(field->number));
  }
  return scalar;
}

void read_event(std::string_view event, KnownEvents& known) {
  int64_t step = 0;
  std::vector<Scalar> scalars;
  bool start = false;
  while (auto field = take_field(event)) {
    if (field->id == 2) step = static_cast<int64_t>(field->number);
    if (field->id == 5) {
      while (const auto value = take_field(field->bytes)) {
        if (value->id == 1) scalars.push_back(scalar_in(value->bytes));
      }
    }
    if (field->id == 7) {
      const auto status = take_field(field->bytes);
      start = status && status->id == 1 && status->number == 1;
    }
  }
  if (start && ++known.starts > 1) {
    std::erase_if(known.scalars, [step](const Scalar& scalar) { return scalar.step >= step; });
  }
  for (Scalar& scalar : scalars) {
    scalar.step = step;
    known.scalars.push_back(scalar);
  }
}

bool equal(const Scalar& one, const Scalar& other) {
  return one.tag == other.tag && one.step == other.step &&
         std::bit_cast<uint32_t>(one.value) == std::bit_cast<uint32_t>(other.value);
}

// --- files

// Of a folder, in the order in which TensorBoard reads them: kEventsFile, kEventsFile.002, ...
std::string events_file(const std::string& folder, int number) {
  const std::string first = folder + "/" + kEventsFile;
  return number == 1 ? first : fmt::format("{}.{:03}", first, number);
}

// Holds the lock of a file while another process, which does the same, may be adding to it. Where
// there are no locks, or one is held for seconds, it goes on without: two at the same moment would
// add the same numbers twice.
class Appender {
 public:
  explicit Appender(std::string path)
      : path_(std::move(path)), fd_(uninterrupted([this] {
          return open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        })) {
    if (fd_ < 0) fail();
    wait_for_lock();
  }
  ~Appender() { close(fd_); }
  Appender(const Appender&) = delete;
  Appender& operator=(const Appender&) = delete;

  void add(std::string_view bytes) const {
    if (write_bytes(fd_, bytes) < bytes.size()) fail();
  }

 private:
  // Whoever holds it may be stopped, and a training must come to its end.
  void wait_for_lock() const {
    constexpr int kTries = 50;
    constexpr std::chrono::milliseconds kPause(100);
    for (int i = 0; i < kTries && flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; ++i) {
      std::this_thread::sleep_for(kPause);
    }
  }

  [[noreturn]] void fail() const {
    throw Error(ExitCode::kUsage, path_, std::strerror(errno),
                "a file that can be written, with room");
  }

  std::string path_;
  int fd_;
};

}  // namespace

void read_events(std::string_view bytes, KnownEvents& known) {
  while (!bytes.empty()) {
    const auto record = take_record(bytes);
    known.whole = record.has_value();
    if (!record) return;
    read_event(*record, known);
  }
}

// What is known is right up to the first difference; from its step on it is taken back. The first
// start takes nothing back in some versions of TensorBoard and does in others, so that it comes
// where there is nothing yet, or together with a second.
std::string events_to_add(const KnownEvents& known, const std::vector<Scalar>& wanted) {
  const auto [old, fresh] = std::mismatch(known.scalars.begin(), known.scalars.end(),
                                          wanted.begin(), wanted.end(), equal);
  const bool differs = old != known.scalars.end();
  if (!differs && fresh == wanted.end()) return {};
  int64_t from = differs ? old->step : fresh->step;
  if (fresh != wanted.end()) from = std::min(from, fresh->step);
  const bool takes_back = differs || (known.starts == 0 && !known.scalars.empty());
  const double time = wanted.empty() ? 0 : wanted.back().time;
  std::string bytes;
  if (known.starts == 0) bytes += start_event(from, time);
  if (takes_back) bytes += start_event(from, time);
  for (auto scalar = wanted.begin(); scalar != wanted.end(); ++scalar) {
    const bool is_new = takes_back ? scalar->step >= from : scalar >= fresh;
    if (is_new) bytes += scalar_event(*scalar);
  }
  return bytes;
}

void update_events(const RunRecord& run) {
  int number = 1;
  while (std::filesystem::exists(events_file(run.path, number + 1))) ++number;
  const Appender last(events_file(run.path, number));
  KnownEvents known;
  size_t size = 0;
  for (int i = 1; i <= number; ++i) {
    const std::string bytes = read_file(events_file(run.path, i), ExitCode::kUsage);
    known.whole = true;
    read_events(bytes, known);
    size = bytes.size();
  }
  const std::vector<Scalar> wanted = scalars_of(run);
  const std::string added = events_to_add(known, wanted);
  if (added.empty() && size > 0) return;
  const double time = wanted.empty() ? 0 : wanted.front().time;
  if (!known.whole) {
    Appender(events_file(run.path, number + 1)).add(version_event(time) + added);
  } else {
    last.add(size == 0 ? version_event(time) + added : added);
  }
}

}  // namespace cifar

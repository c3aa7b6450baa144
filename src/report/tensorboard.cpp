#include "report/tensorboard.h"

#include <array>
#include <bit>
#include <cmath>

namespace cifar {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  constexpr uint32_t kCastagnoli = 0x82f63b78;  // bits reversed
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) {
      table[i] = table[i] >> 1 ^ ((table[i] & 1) != 0 ? kCastagnoli : 0);
    }
  }
  return table;
}

template <typename Word>
std::string little_endian(Word word) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(Word); ++i) bytes += static_cast<char>(word >> (8 * i) & 0xff);
  return bytes;
}

// --- protocol buffers (https://protobuf.dev/programming-guides/encoding)

enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7f) | 0x80);
  return bytes + static_cast<char>(value);
}

std::string tag(uint64_t field, WireType type) {
  return varint(field << 3 | type);
}

std::string message(uint64_t field, const std::string& bytes) {
  return tag(field, kBytes) + varint(bytes.size()) + bytes;
}

std::string step_of(int64_t step) {
  return tag(2, kVarint) + varint(static_cast<uint64_t>(step));
}

std::string wall_time(double seconds) {
  return tag(1, kFixed64) + little_endian(std::bit_cast<uint64_t>(seconds));
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  static constexpr auto kTable = make_crc_table();
  uint32_t crc = ~uint32_t{0};
  for (const char c : bytes) crc = crc >> 8 ^ kTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

std::string tensorboard_record(std::string_view bytes) {
  const std::string length = little_endian(static_cast<uint64_t>(bytes.size()));
  return length + little_endian(masked_crc32c(length)) + std::string(bytes) +
         little_endian(masked_crc32c(bytes));
}

std::string scalar_event(const Scalar& scalar) {
  const std::string entry = message(1, scalar.tag) + tag(2, kFixed32) +
                            little_endian(std::bit_cast<uint32_t>(scalar.value));
  return tensorboard_record(wall_time(scalar.time) + step_of(scalar.step) +
                            message(5, message(1, entry)));
}

std::string version_event(double time) {
  return tensorboard_record(wall_time(time) + message(3, "brain.Event:2"));
}

std::string start_event(int64_t step, double time) {
  const std::string session_log = tag(1, kVarint) + varint(1);
  return tensorboard_record(wall_time(time) + step_of(step) + message(7, session_log));
}

std::vector<Scalar> scalars_of(const RunRecord& run) {
  std::vector<Scalar> scalars;
  // What was counted lies before the last change of the metrics.
  double time = run.last_change - run.seconds();
  const auto add = [&](const char* name, double value, int64_t step) {
    if (std::isfinite(value)) scalars.push_back({name, step, static_cast<float>(value), time});
  };
  for (const EpochLine& line : run.epochs) {
    for (const double seconds : {line.seconds_train, line.seconds_validation}) {
      if (std::isfinite(seconds)) time += seconds;
    }
    add("loss/train", line.train_loss, line.step);
    add("loss/val", line.val_loss, line.step);
    add("accuracy/train", line.train_accuracy, line.step);
    add("accuracy/val", line.val_accuracy, line.step);
    add("learning_rate", line.learning_rate, line.step);
    add("images_per_second", line.images_per_second, line.step);
  }
  if (run.test && !run.epochs.empty()) {
    add("loss/test", run.test->loss, run.epochs.back().step);
    add("accuracy/test", run.test->accuracy, run.epochs.back().step);
  }
  return scalars;
}

}  // namespace cifar

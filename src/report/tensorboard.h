// A run as TensorBoard reads it: records (tensorflow/core/lib/io/record_writer.h) of Event messages
// (tensorflow/core/util/event.proto) with scalars, loss/train, loss/val, accuracy/... by step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "report/run_record.h"

namespace cifar {

struct Scalar {
  std::string tag;
  int64_t step = 0;
  float value = 0;
  double time = 0;  // seconds since 1970
};

// What a run has to show, in the order of its steps; what is no number is left out.
std::vector<Scalar> scalars_of(const RunRecord& run);

// Events, as records.
std::string scalar_event(const Scalar& scalar);
// The first of a file.
std::string version_event(double time);
// The second or a later one of a folder makes TensorBoard forget what it has of `step` and later;
// the first only says that there may be more.
std::string start_event(int64_t step, double time);

// CRC-32C (RFC 3720, appendix B.4).
uint32_t crc32c(std::string_view bytes);
// As records hold it.
uint32_t masked_crc32c(std::string_view bytes);

// A record: length, masked CRC of the length, the bytes, masked CRC of the bytes.
std::string tensorboard_record(std::string_view bytes);

}  // namespace cifar

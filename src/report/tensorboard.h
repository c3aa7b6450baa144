// A run as TensorBoard reads it: records (tensorflow/core/lib/io/record_writer.h) of Event messages
// (tensorflow/core/util/event.proto) with scalars, loss/train, loss/val, accuracy/... by step.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "report/run_record.h"

namespace cifar {

// TensorBoard looks for this beginning.
constexpr const char* kEventsFile = "events.out.tfevents.cifar-ddp";

std::string tensorboard_events(const RunRecord& run);

// CRC-32C (RFC 3720, appendix B.4).
uint32_t crc32c(std::string_view bytes);

// A record: length, masked CRC of the length, the bytes, masked CRC of the bytes.
std::string tensorboard_record(std::string_view bytes);

}  // namespace cifar

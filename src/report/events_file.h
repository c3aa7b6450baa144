// A run's events file, which TensorBoard may have open: it is only ever added to.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/tensorboard.h"

namespace cifar {

// TensorBoard looks for this beginning, and reads the files of a folder in the order of their
// names.
constexpr const char* kEventsFile = "events.out.tfevents.cifar-ddp";

// What TensorBoard knows once it has read events.
struct KnownEvents {
  std::vector<Scalar> scalars;  // without those that a later start took back
  int64_t starts = 0;           // after the first each takes back what has its step or a later one
  bool whole = true;            // no byte is left that is no record
};

// Adds what the records of `bytes` say, as far as they are sound.
void read_events(std::string_view bytes, KnownEvents& known);

// The records that make TensorBoard know `wanted` in the place of `known`; empty when it does.
std::string events_to_add(const KnownEvents& known, const std::vector<Scalar>& wanted);

// Brings the events of the run's directory up to date: adds to the last file, or begins another
// where that ends in the middle of a record. Error(kUsage) when it cannot be written.
void update_events(const RunRecord& run);

}  // namespace cifar

// The lines of metrics.jsonl, as a training has them to write. One that the disk does not take is
// no reason to end a training of hours: it is kept and tried again with the next. The run directory
// and the log must outlive the writer.
#pragma once

#include <string>

#include "train/run_directory.h"

namespace cifar {

class MetricsWriter {
 public:
  MetricsWriter(const RunDirectory& directory, const Log& log) : directory_(directory), log_(log) {}
  // One more try, when an error ended the training before finish().
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;
  MetricsWriter& operator=(const MetricsWriter&) = delete;

  // The first failure is told in a warning.
  void append(const std::string& object);
  // Error(kCheckpoint) when lines still cannot be written.
  void finish();

 private:
  const RunDirectory& directory_;
  const Log& log_;
  std::string unwritten_;
  bool warned_ = false;
};

}  // namespace cifar

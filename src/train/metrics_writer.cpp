#include "train/metrics_writer.h"

namespace cifar {

MetricsWriter::~MetricsWriter() {
  try {
    finish();
  } catch (const std::exception&) {
    // Another error is on its way, and the warning has been given.
  }
}

void MetricsWriter::append(const std::string& object) {
  if (!unwritten_.empty()) unwritten_ += "\n";
  unwritten_ += object;
  directory_.require_lock();  // without it nothing may be written at all, now or later
  try {
    finish();
  } catch (const Error& error) {
    if (!warned_) log_.warning(std::string(error.what()) + "; the lines are kept and tried again");
    warned_ = true;
  }
}

void MetricsWriter::finish() {
  if (unwritten_.empty()) return;
  directory_.append_metrics(unwritten_);
  unwritten_.clear();
}

}  // namespace cifar

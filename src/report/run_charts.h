// The curves of a run, one point an epoch.
#pragma once

#include <string>
#include <vector>

#include "report/chart.h"
#include "report/run_record.h"

namespace cifar {

struct NamedChart {
  std::string name;  // of its file: "loss"
  LineChart chart;
};

// loss, accuracy, learning-rate, throughput.
std::vector<NamedChart> run_charts(const RunRecord& run);

// A value of each epoch over the epochs. Epochs that were broken off are left out.
std::vector<Point> over_epochs(const RunRecord& run, double EpochLine::*value);

}  // namespace cifar

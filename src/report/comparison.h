// Runs side by side: those that differ in nothing but the seed form a group, and groups are ranked
// by their accuracy on the test split.
#pragma once

#include <string>
#include <vector>

#include "report/run_record.h"
#include "report/statistics.h"

namespace cifar {

struct RunGroup {
  std::string name;  // of the runs' directories, without "-seed-N"
  std::vector<RunRecord> runs;
  int64_t parameters = 0, multiply_adds = 0;

  // Of the runs that came to their end, one a seed: the same seed gives the same bits, and counted
  // twice would make a spread look smaller than it is.
  std::vector<double> test_accuracies() const;
};

// In the order of the runs.
std::vector<RunGroup> group_runs(std::vector<RunRecord> runs);

// What makes the comparison less than fair: other images, other numbers of epochs, runs that have
// not finished, a seed that is there twice.
std::vector<std::string> comparison_warnings(const std::vector<RunGroup>& groups);

struct Score {
  std::string name;
  Spread test;  // accuracies
};

// The measured answer in a few sentences: who is best, and whose distance to the best is more than
// noise: Welch's t-test between the seeds' accuracies, two-sided, at 5 % after Holm's correction.
// With one seed, that no spread is known. `scores` without a count are left out.
std::string answer(std::vector<Score> scores);

}  // namespace cifar

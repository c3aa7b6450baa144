// Mean and spread of a few numbers, and whether two means differ by more than their spread
// explains.
#pragma once

#include <cstddef>
#include <vector>

namespace cifar {

struct Spread {
  size_t count = 0;
  double mean = 0;
  double deviation = 0;  // standard deviation of the sample (n - 1); 0 for one number
};

Spread spread_of(const std::vector<double>& values);

// P(|T| >= |t|) of Student's distribution with `freedom` degrees of freedom, above 0 and not
// necessarily whole.
double student_p(double t, double freedom);

// The two-sided p of Welch's t-test (B. L. Welch, Biometrika 34, 1947): that two means differ so
// much by chance. Both counts are at least 2.
double welch_p(const Spread& a, const Spread& b);

// Which of these p-values are significant at `level` when all are looked at together (S. Holm,
// Scand. J. Statist. 6, 1979).
std::vector<bool> holm(const std::vector<double>& p, double level);

}  // namespace cifar

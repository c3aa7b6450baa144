// The scale of an axis: round numbers that span the values.
#pragma once

#include <string>
#include <vector>

namespace cifar {

struct Axis {
  double low = 0, high = 1;
  std::vector<double> ticks;  // the first is `low`, the last `high`
  double step = 1;

  // Where a value lies, 0 at `low` and 1 at `high`.
  double place(double value) const { return (value - low) / (high - low); }
  // "1,500", "0.25" or "2e-07", as exact as the step asks for.
  std::string label(double tick) const;
};

// About `ticks` steps of 1, 2 or 5 times a power of ten, from at most `low` to at least `high`.
// Equal values get room around them. `whole`: no step below 1.
Axis make_axis(double low, double high, int ticks, bool whole = false);

}  // namespace cifar

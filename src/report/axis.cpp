#include "report/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cifar {

std::string Axis::label(double tick) const {
  constexpr int kMostDecimals = 5;
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  if (decimals > kMostDecimals) return fmt::format("{:.6g}", tick);
  if (decimals > 0) return fmt::format("{:.{}f}", tick, decimals);
  return fmt::format("{}", fmt::group_digits(std::llround(tick)));
}

Axis make_axis(double low, double high, int ticks, bool whole) {
  // Values that differ by rounding alone are one value: steps between them would be too small to
  // count.
  if (!(high - low > 1e-9 * std::max(std::abs(low), std::abs(high)))) {
    const double room = whole ? 0.5 : std::max(std::abs(low) * 0.1, 1e-9);
    low -= room;
    high += room;
  }
  const double rough = (high - low) / ticks;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  Axis axis;
  for (const double factor : {1, 2, 5, 10}) {
    axis.step = factor * power;
    if (axis.step >= rough * 0.999) break;
  }
  if (whole) axis.step = std::max(axis.step, 1.0);
  const double first = std::floor(low / axis.step + 1e-9);
  const double last = std::ceil(high / axis.step - 1e-9);
  const int64_t steps = std::llround(last - first);
  for (int64_t i = 0; i <= steps; ++i) {
    axis.ticks.push_back((first + static_cast<double>(i)) * axis.step);
  }
  axis.low = axis.ticks.front();
  axis.high = axis.ticks.back();
  return axis;
}

}  // namespace cifar

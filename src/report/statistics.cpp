#include "report/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cifar {
namespace {

// The continued fraction of the incomplete beta function by Lentz's method (DLMF 8.17.22; W. J.
// Lentz, Appl. Opt. 15, 1976); converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  const auto safe = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double c = 1, d = 1 / safe(1 - (a + b) * x / (a + 1)), result = d;
  for (int m = 1; m < 1000; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double factor = 1;
    for (const double term : {even, odd}) {
      d = 1 / safe(1 + term * d);
      c = safe(1 + term / c);
      factor = c * d;
      result *= factor;
    }
    if (std::abs(factor - 1) < 1e-15) break;
  }
  return result;
}

// The regularised incomplete beta function I_x(a, b).
double incomplete_beta(double a, double b, double x) {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return front * beta_fraction(a, b, x) / a;
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  Spread spread{values.size()};
  if (values.empty()) return spread;
  const auto count = static_cast<double>(values.size());
  spread.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += std::pow(value - spread.mean, 2);
  if (values.size() > 1) spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

double student_p(double t, double freedom) {
  return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
}

double welch_p(const Spread& a, const Spread& b) {
  const double difference = a.mean - b.mean;
  const auto variance = [](const Spread& spread) {  // of the mean
    return spread.deviation * spread.deviation / static_cast<double>(spread.count);
  };
  const double sum = variance(a) + variance(b);
  if (sum == 0) return difference == 0 ? 1 : 0;
  const auto part = [&](const Spread& spread) {
    return std::pow(variance(spread), 2) / static_cast<double>(spread.count - 1);
  };
  return student_p(difference / std::sqrt(sum), sum * sum / (part(a) + part(b)));
}

std::vector<bool> holm(const std::vector<double>& p, double level) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t i, size_t j) { return p[i] < p[j]; });
  std::vector<bool> significant(p.size(), false);
  for (size_t rank = 0; rank < order.size(); ++rank) {
    if (p[order[rank]] > level / static_cast<double>(p.size() - rank)) break;
    significant[order[rank]] = true;
  }
  return significant;
}

}  // namespace cifar

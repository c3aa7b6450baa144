#include "report/repeats.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/statistics.h"

namespace cifar {
namespace {

std::vector<double> column(const std::vector<Repeat>& repeats, double Repeat::*member) {
  std::vector<double> values;
  for (const Repeat& repeat : repeats) values.push_back(repeat.*member);
  return values;
}

double share_at(double target, const std::vector<Repeat>& repeats) {
  const auto there = std::ranges::count_if(
      repeats, [&](const Repeat& repeat) { return repeat.accuracy >= target; });
  return static_cast<double>(there) / static_cast<double>(repeats.size());
}

}  // namespace

double percentile(std::vector<double> values, double fraction) {
  std::ranges::sort(values);
  const double rank = std::ceil(fraction * static_cast<double>(values.size()));
  return values[static_cast<size_t>(std::max(1.0, rank)) - 1];
}

std::string summary_of(const RepeatedRecipe& recipe, const std::vector<Repeat>& repeats) {
  const Spread accuracy = spread_of(column(repeats, &Repeat::accuracy));
  const std::vector<double> seconds = column(repeats, &Repeat::seconds);
  const std::string deviation =
      repeats.size() > 1 ? fmt::format("mean, sd {:.2f}, ", 100 * accuracy.deviation) : "";
  return fmt::format(
      "{}: {:.2f} % of the test images right ({}n = {}), {:.0f} % of the runs at {:g} % or over, "
      "{:.2f} s (median; p95 {:.2f}) on {}, {} rank{}",
      recipe.name, 100 * accuracy.mean, deviation, repeats.size(),
      100 * share_at(recipe.target, repeats), 100 * recipe.target, percentile(seconds, 0.5),
      percentile(seconds, 0.95), recipe.hardware, recipe.ranks, recipe.ranks == 1 ? "" : "s");
}

nlohmann::ordered_json json_of(const RepeatedRecipe& recipe, const std::vector<Repeat>& repeats) {
  using Json = nlohmann::ordered_json;
  const Spread accuracy = spread_of(column(repeats, &Repeat::accuracy));
  const std::vector<double> seconds = column(repeats, &Repeat::seconds);
  Json json = {
      {"recipe", recipe.name},
      {"n", repeats.size()},
      {"accuracy_mean", accuracy.mean},
      {"accuracy_deviation", repeats.size() > 1 ? Json(accuracy.deviation) : Json()},
      {"target", recipe.target},
      {"share_at_target", share_at(recipe.target, repeats)},
      {"seconds_median", percentile(seconds, 0.5)},
      {"seconds_p95", percentile(seconds, 0.95)},
      {"images", recipe.images},
      {"flops", recipe.flops},
      {"data", recipe.data},
      {"hardware", recipe.hardware},
      {"ranks", recipe.ranks},
      {"threads", recipe.threads},
      {"host", recipe.host},
      {"version", recipe.version},
      {"commit", recipe.commit.empty() ? Json() : Json(recipe.commit)},
      {"config", recipe.config},
  };
  for (const Repeat& repeat : repeats) {
    json["runs"].push_back({{"seed", repeat.seed},
                            {"test_accuracy", repeat.accuracy},
                            {"test_loss", repeat.loss},
                            {"seconds", repeat.seconds}});
  }
  return json;
}

}  // namespace cifar

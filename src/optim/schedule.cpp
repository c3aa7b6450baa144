#include "optim/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace cifar {
namespace {

// Half a cosine from `first` at fraction 0 to `last` at fraction 1.
double half_cosine(double first, double last, double fraction) {
  return last + (first - last) / 2 * (1 + std::cos(std::numbers::pi * fraction));
}

double one_cycle(const ScheduleConfig& config, double base, int64_t step, int64_t total_steps) {
  if (config.warmup_epochs != 0) {
    throw Error(ExitCode::kUsage, "schedule.warmup_epochs", fmt::format("{}", config.warmup_epochs),
                "0 with the schedule one-cycle, which warms up by itself");
  }
  // A fraction of a step, as in PyTorch; a cycle with no room to rise starts at the peak.
  const double peak = config.one_cycle_peak * static_cast<double>(total_steps) - 1;
  const double now = static_cast<double>(step);
  if (now <= peak) {
    return peak > 0 ? half_cosine(config.one_cycle_start_factor * base, base, now / peak) : base;
  }
  const double last = static_cast<double>(total_steps - 1);
  return half_cosine(base, config.final_factor * base, (now - peak) / (last - peak));
}

int64_t steps_in(double epochs, int64_t steps_per_epoch) {
  return std::llround(epochs * static_cast<double>(steps_per_epoch));
}

}  // namespace

double learning_rate_at(const ScheduleConfig& config, double base, int64_t step,
                        int64_t total_steps, int64_t steps_per_epoch) {
  if (config.name == "one-cycle") return one_cycle(config, base, step, total_steps);

  const int64_t warmup = steps_in(config.warmup_epochs, steps_per_epoch);
  const double ramp =
      step < warmup ? static_cast<double>(step + 1) / static_cast<double>(warmup) : 1;
  if (config.name == "constant") return ramp * base;
  if (config.name == "step") {
    const int64_t size = std::max<int64_t>(1, steps_in(config.step_epochs, steps_per_epoch));
    return ramp * base * std::pow(config.step_factor, static_cast<double>(step / size));
  }
  if (config.name == "linear") {
    if (step < warmup) return ramp * base;
    const double left =
        1 - static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
    return base * (config.final_factor + (1 - config.final_factor) * left);
  }
  if (config.name == "cosine") {
    if (step < warmup) return ramp * base;
    const double fraction =
        static_cast<double>(step - warmup) / static_cast<double>(total_steps - warmup);
    return half_cosine(base, config.final_factor * base, fraction);
  }
  throw Error(ExitCode::kUsage, "schedule.name", config.name,
              "constant, step, linear, cosine or one-cycle");
}

double learning_rate_of(const OptimizerConfig& optimizer, const ScheduleConfig& schedule,
                        int64_t batch, int64_t step, int64_t total_steps, int64_t steps_per_epoch) {
  const double base = scaled_learning_rate(optimizer, batch);
  if (optimizer.until_epoch > 0) {
    total_steps = std::min(total_steps, steps_in(optimizer.until_epoch, steps_per_epoch));
  }
  return step < total_steps ? learning_rate_at(schedule, base, step, total_steps, steps_per_epoch)
                            : 0;
}

double scaled_learning_rate(const OptimizerConfig& config, int64_t batch) {
  const double ratio =
      static_cast<double>(batch) / static_cast<double>(config.reference_batch_size);
  if (config.scale_learning_rate == "none") return config.learning_rate;
  if (config.scale_learning_rate == "linear") return config.learning_rate * ratio;
  if (config.scale_learning_rate == "sqrt") return config.learning_rate * std::sqrt(ratio);
  throw Error(ExitCode::kUsage, "optimizer.scale_learning_rate", config.scale_learning_rate,
              "none, linear or sqrt");
}

}  // namespace cifar

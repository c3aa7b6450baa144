#include "train/run_plan.h"

#include "data/sampler.h"
#include "optim/schedule.h"

namespace cifar {

RunPlan::RunPlan(const Config& config, int64_t samples, const std::vector<OptimizerGroup>& groups)
    : config_(config),
      samples_(samples),
      groups_(groups),
      steps_per_epoch_(
          cifar::steps_per_epoch(samples, config.train.batch_size, config.train.drop_last)) {
  learning_rates(0);
}

int64_t RunPlan::total_samples() const {
  return config_.train.epochs * samples_of_step(steps_per_epoch_ - 1).end();
}

Range RunPlan::samples_of_step(int64_t step_in_epoch) const {
  return step_range(step_in_epoch, config_.train.batch_size, samples_);
}

std::vector<StepPlan> RunPlan::rest_of_epoch(const Position& at) const {
  std::vector<StepPlan> plans;
  for (int64_t i = at.step_in_epoch; i < steps_per_epoch_; ++i) {
    const Range samples = samples_of_step(i);
    const int64_t step = at.step + i - at.step_in_epoch;
    plans.push_back({samples,
                     {samples.first, step + 1, at.epoch, static_cast<uint64_t>(config_.train.seed)},
                     learning_rates(step)});
  }
  return plans;
}

std::vector<double> RunPlan::learning_rates(int64_t step) const {
  std::vector<double> rates;
  for (const OptimizerGroup& group : groups_) {
    rates.push_back(learning_rate_of(group.config, config_.schedule, config_.train.batch_size, step,
                                     total_steps(), steps_per_epoch_));
  }
  return rates;
}

}  // namespace cifar

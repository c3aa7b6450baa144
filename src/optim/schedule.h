// The learning rate as a pure function of the step, in double. Steps count from 0 and are global
// batches; 0 <= step < total_steps. Constant, step, linear and cosine may begin with a linear
// warm-up (Goyal et al., arXiv:1706.02677). Bad settings: Error kUsage.
#pragma once

#include <cstdint>

#include "config/config.h"

namespace cifar {

// With W = warmup_epochs * steps_per_epoch, T = total_steps and n counted from 0:
//   warm-up   base * (n + 1) / W for n < W, times what the schedule below says
//   constant  base
//   step      torch StepLR: base * step_factor^floor(n / (step_epochs * steps_per_epoch))
//   linear    base * (1 - m / (T - W)) for step m after the warm-up, down to final_factor * base at
//             step T (torch LinearLR from 1 to final_factor)
//   cosine    torch CosineAnnealingLR over the T - W steps after the warm-up, down to
//             final_factor * base (Loshchilov and Hutter, arXiv:1608.03983)
//   one-cycle torch OneCycleLR, anneal_strategy "cos": from one_cycle_start_factor * base at n = 0
//             up to base at n = one_cycle_peak * T - 1, down to final_factor * base at n = T - 1
//             (Smith and Topin, arXiv:1708.07120); refuses a warm-up, being one itself
double learning_rate_at(const ScheduleConfig& config, double base, int64_t step,
                        int64_t total_steps, int64_t steps_per_epoch);

// The base rate for a global batch, by scale_learning_rate: as it is (none), times
// batch / reference_batch_size (linear, Goyal et al.), or times the root of that
// (sqrt, Krizhevsky, arXiv:1404.5997).
double scaled_learning_rate(const OptimizerConfig& config, int64_t batch);

// What an optimizer of the recipe has at a step: its scaled rate on the schedule, which for this
// optimizer ends at its until_epoch; 0 from there on.
double learning_rate_of(const OptimizerConfig& optimizer, const ScheduleConfig& schedule,
                        int64_t batch, int64_t step, int64_t total_steps, int64_t steps_per_epoch);

}  // namespace cifar

#include "train/meter.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace cifar {

Meter::Meter(const FlatState& flat)
    : flat_(flat),
      sums_(torch::zeros_like(flat.metrics(), torch::kFloat64)),
      loss_{flat.metrics()[0], sums_[0]},
      counts_{flat.metrics().slice(0, 1), sums_.slice(0, 1)},
      first_bad_(torch::full({}, std::numeric_limits<double>::infinity(), sums_.options())) {}

void Meter::add(const torch::Tensor& step, int64_t samples) {
  torch::NoGradGuard no_grad;
  loss_.sum.add_(loss_.step, static_cast<double>(samples));
  counts_.sum.add_(counts_.step);
  // One NaN or infinity anywhere in gradients or loss makes their sum one; 0 times that is NaN.
  const auto poison = flat_.reduced().sum() * 0;
  const auto bad = torch::where(poison.isnan(), step.to(torch::kFloat64),
                                std::numeric_limits<double>::infinity());
  torch::fmin_out(first_bad_, first_bad_, bad);
}

Wishes Meter::read(Position& position) {
  const auto sums = sums_.to(torch::kCPU, /*non_blocking=*/false, /*copy=*/true);
  const double first_bad = first_bad_.item<double>();
  if (std::isfinite(first_bad)) {
    throw Error(ExitCode::kDiverged, fmt::format("step {:.0f}", first_bad),
                "the loss or a gradient is not finite",
                "finite numbers (a lower --learning-rate?); the last checkpoint is sound");
  }
  sums_.zero_();
  position.loss_sum += sums[0].item<double>();
  position.correct += sums[1].item<double>();
  return {sums[2].item<double>() > 0, sums[3].item<double>() > 0};
}

}  // namespace cifar

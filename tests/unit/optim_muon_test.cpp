// Muon against the closed form of its iteration on singular values, and against the update rule
// written out in float64.
#include <gmock/gmock.h>

#include <cmath>

#include "optim/muon.h"
#include "refusal.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

// What the iteration does to one singular value of a matrix whose norm is `norm`.
double iterated(double value, double norm, int64_t steps) {
  double x = value / (norm + 1e-7);
  for (int64_t i = 0; i < steps; ++i) {
    x = 3.4445 * x - 4.7750 * std::pow(x, 3) + 2.0315 * std::pow(x, 5);
  }
  return x;
}

OptimizerConfig muon(double momentum = 0.6, bool nesterov = true) {
  OptimizerConfig config;
  config.name = "muon";
  config.momentum = momentum;
  config.nesterov = nesterov;
  config.newton_schulz_steps = 3;
  return config;
}

TEST(NewtonSchulz, MovesEachSingularValueByThePolynomialAndKeepsTheDirections) {
  torch::manual_seed(1);
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{8, 20}, {20, 8}, {6, 6}}) {
    const auto matrices = torch::randn({3, rows, columns}, torch::kFloat64);
    const auto found = newton_schulz(matrices, 3);
    ASSERT_EQ(found.sizes(), matrices.sizes());
    for (int64_t i = 0; i < 3; ++i) {
      const auto [u, s, vh] = torch::linalg_svd(matrices[i], /*full_matrices=*/false);
      const double norm = matrices[i].norm().item<double>();
      auto moved = torch::empty_like(s);
      for (int64_t k = 0; k < s.numel(); ++k) moved[k] = iterated(s[k].item<double>(), norm, 3);
      EXPECT_TRUE(torch::allclose(found[i], u.matmul(moved.diag()).matmul(vh), 1e-9, 1e-9));
    }
  }
}

TEST(NewtonSchulz, FiveStepsBringSingularValuesNearOne) {
  torch::manual_seed(2);
  const auto values = torch::linalg_svdvals(newton_schulz(torch::randn({1, 64, 576}), 5)[0]);
  EXPECT_GT(values.min().item<double>(), 0.6);
  EXPECT_LT(values.max().item<double>(), 1.3);
}

// Three updates of a convolution's and a linear layer's weight, one after another in the slice.
void expect_the_rule(const OptimizerConfig& config) {
  torch::manual_seed(3);
  const auto parameters = torch::randn({4 * 18 + 4 * 18 + 32});
  const std::vector<OptimizerTensor> tensors = {
      {"0.weight", 0, {4, 2, 3, 3}}, {"1.weight", 72, {4, 2, 3, 3}}, {"2.weight", 144, {8, 4}}};
  const auto optimizer = make_optimizer(config, {parameters, tensors});
  auto weights = parameters.to(torch::kFloat64);
  auto momentum = torch::zeros_like(weights);
  for (int64_t step = 1; step <= 3; ++step) {
    const auto gradients = torch::randn_like(parameters);
    optimizer->step(parameters, gradients, 0.1);
    const auto gradient = gradients.to(torch::kFloat64);
    momentum = config.momentum * momentum + gradient;
    const auto direction = config.nesterov ? gradient + config.momentum * momentum : momentum;
    for (const OptimizerTensor& tensor : tensors) {
      const int64_t rows = tensor.sizes[0], size = c10::multiply_integers(tensor.sizes);
      auto weight = weights.narrow(0, tensor.offset, size).view({rows, size / rows});
      if (config.normalise_every > 0 && (step - 1) % config.normalise_every == 0) {
        weight.mul_(std::sqrt(rows) / weight.norm().item<double>());
      }
      const auto matrix = direction.narrow(0, tensor.offset, size).view({1, rows, size / rows});
      weight.sub_(0.1 * newton_schulz(matrix, config.newton_schulz_steps)[0]);
    }
    EXPECT_TRUE(torch::allclose(parameters.to(torch::kFloat64), weights, 1e-4, 1e-5)) << step;
  }
}

TEST(Muon, FollowsTheRule) {
  expect_the_rule(muon());
  expect_the_rule(muon(0.9, false));
}

TEST(Muon, ScalesWeightsBeforeAnUpdateEverySoManySteps) {
  for (const int64_t every : {1, 2}) {
    OptimizerConfig config = muon();
    config.normalise_every = every;
    expect_the_rule(config);
  }
}

// Wide and tall ones of other shapes beside each other.
TEST(Muon, FollowsTheRuleWithAllMatricesInOnePaddedStack) {
  OptimizerConfig config = muon();
  config.newton_schulz = "padded";
  config.normalise_every = 2;
  expect_the_rule(config);
}

TEST(Muon, FollowsTheRuleWithEachMatrixAlone) {
  OptimizerConfig config = muon();
  config.newton_schulz = "divided";
  config.normalise_every = 2;
  expect_the_rule(config);
}

// More ranks than matrices too; each matrix on one of them alone.
TEST(Muon, DividedHasTheSameBitsOnAnyNumberOfRanks) {
  OptimizerConfig config = muon();
  config.newton_schulz = "divided";
  torch::manual_seed(4);
  const auto start = torch::randn({144 + 256 + 32}), gradients = torch::randn_like(start);
  const std::vector<OptimizerTensor> tensors = {
      {"0.weight", 0, {8, 2, 3, 3}}, {"1.weight", 144, {16, 16}}, {"2.weight", 400, {4, 8}}};
  const auto updated_on = [&](int ranks) {
    std::vector<torch::Tensor> found(ranks);
    run_ranks(ranks, [&](Communicator& comm) {
      const auto parameters = start.clone();
      const auto optimizer = make_optimizer(config, {parameters, tensors, torch::kFloat32, &comm});
      for (int step = 0; step < 3; ++step) optimizer->step(parameters, gradients, 0.1);
      found[comm.rank()] = parameters;
    });
    return found;
  };
  const auto expected = updated_on(1)[0];
  EXPECT_FALSE(torch::allclose(expected, start));
  for (int ranks = 2; ranks <= 4; ++ranks) {
    for (const auto& parameters : updated_on(ranks)) {
      EXPECT_TRUE(torch::equal(parameters, expected)) << ranks;
    }
  }
}

TEST(Muon, DoesNothingAtRateZero) {
  OptimizerConfig config = muon();
  config.normalise_every = 1;
  const auto parameters = torch::randn({16});
  const auto before = parameters.clone();
  make_optimizer(config, {parameters, {{"0.weight", 0, {4, 4}}}})->step(parameters, before, 0);
  EXPECT_TRUE(torch::equal(parameters, before));
}

TEST(Muon, RefusesADecayThatItWouldNotHeed) {
  OptimizerConfig config = muon();
  config.weight_decay = 0.5;
  EXPECT_EQ(refusal(ExitCode::kUsage, [&] { make_optimizer(config, {torch::zeros({16})}); }),
            "optimizer.weight_decay: 0.5 with muon; expected 0; muon has no decay");
}

TEST(Muon, RefusesWhatIsNoMatrix) {
  const auto refused = [](const std::vector<int64_t>& sizes) {
    return refusal(ExitCode::kUsage, [&] {
      make_optimizer(muon(), {torch::zeros({64}), {{"4.bias", 0, sizes}}});
    });
  };
  EXPECT_EQ(refused({64}),
            "optimizer.parameters: 4.bias: [64] for muon; expected weights of convolutions and "
            "linear layers; another optimizer for this one");
  EXPECT_THAT(refused({64, 1}), testing::HasSubstr("[64, 1] for muon"));
}

}  // namespace
}  // namespace cifar

// Ten steps of each optimizer against the numbers of torch.optim, and resuming from state().
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "optim/optimizer.h"
#include "optim_reference.h"

namespace cifar {
namespace {

constexpr int64_t kSteps = 10;

// The same numbers as start, gradients and learning_rate of optim_reference.py.
torch::Tensor start(int64_t size) {
  torch::Tensor values = torch::empty(size);
  for (int64_t i = 0; i < size; ++i) {
    values[i] = (1 + static_cast<float>(5 * i % 17) / 16) * (i % 2 == 0 ? 1.0f : -1.0f);
  }
  return values;
}

torch::Tensor gradients(int64_t step, int64_t size) {
  torch::Tensor values = torch::empty(size);
  for (int64_t i = 0; i < size; ++i) {
    values[i] = static_cast<float>((7 * i + 13 * step) % 23 - 8) / 16;
  }
  return values;
}

double learning_rate(int64_t step) {
  return 0.001 * static_cast<double>(step + 1);
}

void run_steps(Optimizer& optimizer, torch::Tensor parameters, int64_t first, int64_t last) {
  for (int64_t step = first; step < last; ++step) {
    const torch::Tensor now = gradients(step, parameters.numel()).to(parameters.device());
    optimizer.step(parameters, now, learning_rate(step));
  }
}

struct Case {
  OptimizerConfig config;
  std::vector<float> parameters;
  std::vector<std::vector<float>> state;
};

OptimizerConfig named(const std::string& name, double weight_decay = 0) {
  OptimizerConfig config;
  config.name = name;
  config.weight_decay = weight_decay;
  return config;
}

OptimizerConfig sgd(double momentum, double weight_decay, bool nesterov) {
  OptimizerConfig config = named("sgd", weight_decay);
  config.momentum = momentum;
  config.nesterov = nesterov;
  return config;
}

std::vector<Case> all_cases() {
  namespace r = reference;
  OptimizerConfig settings = named("adam");
  settings.beta1 = 0.8;
  settings.beta2 = 0.95;
  settings.epsilon = 1e-3;
  return {
      {named("adam"), r::adam_parameters, {r::adam_state0, r::adam_state1}},
      {named("adam", 0.1),
       r::adam_weight_decay_parameters,
       {r::adam_weight_decay_state0, r::adam_weight_decay_state1}},
      {settings, r::adam_settings_parameters, {r::adam_settings_state0, r::adam_settings_state1}},
      {named("adamw", 0.1),
       r::adamw_weight_decay_parameters,
       {r::adamw_weight_decay_state0, r::adamw_weight_decay_state1}},
      {sgd(0, 0, false), r::sgd_parameters, {}},
      {sgd(0.9, 0.1, false), r::sgd_momentum_parameters, {r::sgd_momentum_state0}},
      {sgd(0.9, 0.1, true), r::sgd_nesterov_parameters, {r::sgd_nesterov_state0}},
  };
}

float largest(const std::vector<float>& values) {
  float size = 0;
  for (const float value : values) size = std::max(size, std::abs(value));
  return size;
}

// 1e-6 of each element, or of `floor` where the element is smaller.
void expect_close(const torch::Tensor& found, const std::vector<float>& expected, float floor) {
  const torch::Tensor values = found.cpu();
  for (int64_t i = 0; i < values.numel(); ++i) {
    const float want = expected[static_cast<size_t>(i)];
    EXPECT_NEAR(values[i].item<float>(), want, 1e-6f * std::max(floor, std::abs(want)))
        << "element " << i;
  }
}

class OptimizerTest : public testing::TestWithParam<torch::DeviceType> {
 protected:
  void SetUp() override {
    if (GetParam() == torch::kCUDA && !torch::cuda::is_available()) GTEST_SKIP() << "no GPU here";
  }
  torch::Tensor parameters(int64_t size) { return start(size).to(GetParam()); }
};

TEST_P(OptimizerTest, TenStepsAreTorchs) {
  for (const Case& one : all_cases()) {
    for (const int64_t size : {1, 7, 33}) {
      SCOPED_TRACE(one.config.name + " with " + std::to_string(size) + " parameters");
      torch::Tensor trained = parameters(size);
      const auto optimizer = make_optimizer(one.config, {trained});
      run_steps(*optimizer, trained, 0, kSteps);

      EXPECT_EQ(optimizer->steps(), kSteps);
      expect_close(trained, one.parameters, 0);
      const auto state = optimizer->state();
      ASSERT_GE(state.size(), one.state.size());
      for (size_t k = 0; k < one.state.size(); ++k) {
        // Averages of gradients of either sign: near zero only their absolute error is small.
        expect_close(state[k].second, one.state[k], largest(one.state[k]));
      }
    }
  }
}

TEST_P(OptimizerTest, ResumedFromStateGivesTheSameBits) {
  for (const Case& one : all_cases()) {
    SCOPED_TRACE(one.config.name);
    torch::Tensor whole = parameters(33);
    const auto optimizer = make_optimizer(one.config, {whole});
    run_steps(*optimizer, whole, 0, kSteps / 2);

    torch::Tensor resumed = whole.clone();
    const auto successor = make_optimizer(one.config, {resumed});
    successor->set_steps(optimizer->steps());
    for (size_t k = 0; k < optimizer->state().size(); ++k) {
      successor->state()[k].second.copy_(optimizer->state()[k].second);
    }
    run_steps(*optimizer, whole, kSteps / 2, kSteps);
    run_steps(*successor, resumed, kSteps / 2, kSteps);
    EXPECT_TRUE(torch::equal(whole, resumed));
  }
}

// What makes any division of the flat arrays into ranges harmless.
TEST_P(OptimizerTest, AnElementDoesNotDependOnItsPlace) {
  for (const Case& one : all_cases()) {
    SCOPED_TRACE(one.config.name);
    torch::Tensor many = torch::full(37, 1.5f, GetParam());
    const torch::Tensor slope = torch::full(37, 0.3f, GetParam());
    const auto optimizer = make_optimizer(one.config, {many});
    for (int64_t step = 0; step < kSteps; ++step) {
      optimizer->step(many, slope, learning_rate(step));
    }
    EXPECT_TRUE(torch::equal(many, many[0].expand(37)));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, OptimizerTest, testing::Values(torch::kCPU, torch::kCUDA),
                         [](const auto& device) {
                           return device.param == torch::kCPU ? "cpu" : "cuda";
                         });

TEST(MakeOptimizer, NamesTheStateForCheckpoints) {
  const auto names = [](const std::string& name) {
    std::vector<std::string> found;
    for (const auto& [key, tensor] : make_optimizer(named(name), {start(3)})->state()) {
      found.push_back(key);
      EXPECT_TRUE(torch::equal(tensor, torch::zeros(3)));
    }
    return found;
  };
  EXPECT_EQ(names("adam"), (std::vector<std::string>{"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(names("adamw"), (std::vector<std::string>{"exp_avg", "exp_avg_sq"}));
  EXPECT_EQ(names("sgd"), (std::vector<std::string>{"momentum_buffer"}));
}

TEST(MakeOptimizer, RefusesWhatItCannotDo) {
  for (const OptimizerConfig& config : {named("adma"), sgd(0, 0, true)}) {
    try {
      make_optimizer(config, {start(3)});
      FAIL() << config.name << " was not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
    }
  }
}

}  // namespace
}  // namespace cifar

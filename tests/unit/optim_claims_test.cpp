// Which optimizer a parameter falls to, and what is refused.
#include <gmock/gmock.h>

#include "optim/claims.h"
#include "refusal.h"

namespace cifar {
namespace {

using testing::ElementsAre;

const std::vector<ParameterName> kParameters = {{"0.bias", "whiten.bias"},
                                                {"3.weight", "conv.weight"},
                                                {"13.weight", "conv.weight"},
                                                {"14.bias", "batch-norm.bias"},
                                                {"20.weight", "linear.weight"}};

OptimizerConfig claims(const std::string& name, const std::vector<std::string>& globs) {
  OptimizerConfig config;
  config.name = name;
  config.parameters = globs;
  return config;
}

std::string refused(const std::vector<OptimizerConfig>& optimizers) {
  return refusal(ExitCode::kUsage, [&] { claim_parameters(optimizers, kParameters); });
}

TEST(Claims, OneOptimizerTakesAllByDefault) {
  OptimizerConfig config;
  config.name = "adam";
  EXPECT_THAT(claim_parameters({config}, kParameters), ElementsAre(0, 0, 0, 0, 0));
}

TEST(Claims, AreByKindOrByName) {
  EXPECT_THAT(claim_parameters({claims("muon", {"conv.weight"}), claims("sgd", {"*.bias"}),
                                claims("sgd", {"20.*"})},
                               kParameters),
              ElementsAre(1, 0, 0, 1, 2));
  EXPECT_THAT(
      claim_parameters({claims("muon", {"?.weight"}), claims("sgd", {"*.bias", "??.weight"})},
                       kParameters),
      ElementsAre(1, 0, 1, 1, 1));
}

TEST(Claims, RefuseAGlobThatMatchesNothing) {
  EXPECT_EQ(refused({claims("sgd", {"*"}), claims("muon", {"convolution.*"})}),
            "optimizer.parameters: \"convolution.*\" of muon; expected a pattern of trainable "
            "parameters (0.bias, 3.weight, 13.weight, 14.bias, 20.weight) or of kinds, as "
            "conv.weight");
}

TEST(Claims, RefuseAParameterOfTwo) {
  EXPECT_EQ(refused({claims("muon", {"conv.*"}), claims("sgd", {"*"})}),
            "optimizer.parameters: 3.weight: claimed by optimizers 0 and 1, counted from 0; "
            "expected one that updates it");
}

TEST(Claims, RefuseAParameterOfNone) {
  EXPECT_EQ(
      refused({claims("muon", {"conv.*"}), claims("sgd", {"*.bias"})}),
      "optimizer.parameters: 20.weight: claimed by no optimizer; expected one that updates it");
}

}  // namespace
}  // namespace cifar

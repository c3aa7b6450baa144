// Mutated recipes and layer lists end in a clean error or in settings that are good to use.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "config/load.h"
#include "config/toml_file.h"
#include "config/values.h"
#include "fuzz.h"
#include "model/network.h"

namespace cifar {
namespace {

Config parsed(const std::string& recipe) {
  Config config = article_config();
  assign(config, parse_recipe(recipe, "recipe.toml"));
  return config;
}

// What is written of settings that were accepted reads back to the same.
void expect_readable(const Config& config) {
  const Config back = parsed(to_toml(config));
  for (const Option& option : options()) {
    if (option.section() == "evaluate") continue;
    EXPECT_EQ(get(option, back), get(option, config)) << option.key;
  }
}

TEST(FuzzConfig, MutatedRecipesAreRefusedOrRead) {
  const std::string recipe = to_toml(article_config());
  const std::string donor =
      "[[x]]\na.b = {c = [1, 2.5e-3, 1979-05-27T07:32:00Z], d = '''\ny'''}\n"
      "[train]\nepochs = 0x7f\nseed = -1\n\"batch_size\" = 9223372036854775807\n"
      "[augmentation]\nmean = [nan, inf, -inf]\nstd = [[[[]]]]\n\"\\u0000\\x\" = \"\"\"\\U0010FFFF";
  const std::vector<std::string> words = Mutator::split(recipe);
  Mutator mutator(6);
  int read = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    SCOPED_TRACE(i);
    try {
      expect_readable(parsed(mutator.chance(50) ? mutator.reword(recipe, words)
                                                : mutator.mutate(recipe, donor, 0, recipe.size())));
      ++read;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
  std::printf("%d read, %d refused\n", read, refused);
}

TEST(FuzzConfig, DeepRecipesAreRefused) {
  for (const std::string open : {"[", "{a=", "[{a="}) {
    std::string deep = "[train]\nepochs = ";
    for (int i = 0; i < 100000; ++i) deep += open;
    EXPECT_THROW(parsed(deep), Error) << open;
  }
}

// Numbers of two digits at most, so that what is accepted can be made in no time; giants are
// refused in model_layer_test.cpp.
bool is_small(const std::string& text) {
  int digits = 0;
  for (const char c : text) {
    digits = std::isdigit(static_cast<unsigned char>(c)) ? digits + 1 : 0;
    if (digits > 2) return false;
  }
  return true;
}

TEST(FuzzConfig, MutatedLayerListsAreRefusedOrRun) {
  const std::vector<std::string> layers = {"conv 4 kernel 5 stride 2 padding 1 no-bias",
                                           "batch-norm momentum 0.2 epsilon 1e-4",
                                           "relu",
                                           "pool max 2 stride 3",
                                           "conv 3",
                                           "pool sum all",
                                           "dropout 0.3",
                                           "flatten",
                                           "linear 16 no-bias",
                                           "relu",
                                           "linear 10"};
  std::string donor;
  for (const std::string& layer : layers) donor += layer + " ";
  const std::vector<std::string> words = Mutator::split(donor);
  Mutator mutator(7);
  int run = 0, refused = 0;
  for (int i = 0; i < 3000; ++i) {
    SCOPED_TRACE(i);
    std::vector<std::string> mutant = layers;
    std::string& line = mutant[mutator.below(mutant.size())];
    line = mutator.chance(70) ? mutator.reword(line, words)
                              : mutator.mutate(line, donor, 0, line.size());
    if (!is_small(line)) continue;
    if (mutator.chance(10)) std::swap(mutant[mutator.below(mutant.size())], mutant.back());
    try {
      Network network(mutant, {3, 32, 32}, 10, 1);
      EXPECT_EQ(network.forward(torch::zeros({2, 3, 32, 32}), Pass{}).sizes(),
                (torch::IntArrayRef{2, 10}));
      ++run;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(run, 100);
  EXPECT_GT(refused, 100);
  std::printf("%d run, %d refused\n", run, refused);
}

}  // namespace
}  // namespace cifar

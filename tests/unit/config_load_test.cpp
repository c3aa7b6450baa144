// The way from recipes and flags to a Config: what arrives, which source wins, and what each kind
// of bad input is told.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "config/load.h"
#include "config/options.h"
#include "config/toml_file.h"
#include "config/values.h"
#include "obedient_root.h"

namespace cifar {
namespace {

class Load : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("CIFAR10_DIR");
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override {
    unsetenv("CIFAR10_DIR");
    std::filesystem::remove_all(folder_);
  }

  CommandLine parse(std::vector<std::string> words) {
    words.insert(words.begin(), "cifar-ddp");
    std::vector<const char*> argv;
    for (const std::string& word : words) argv.push_back(word.c_str());
    argv.push_back(nullptr);
    return parse_command_line(static_cast<int>(words.size()), argv.data());
  }

  std::string recipe(const std::string& text, const std::string& name = "r.toml") {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }

  Config with_recipe(const std::string& text) { return parse({"--config", recipe(text)}).config; }

  // The message of the error, which must be a usage error, with the test's folder left out.
  std::string complaint(const std::vector<std::string>& words) {
    try {
      parse(words);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUsage);
      std::string message = error.what();
      const std::string prefix = folder_.string() + "/";
      for (size_t at; (at = message.find(prefix)) != std::string::npos;) {
        message.erase(at, prefix.size());
      }
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
      return message;
    }
    return "no error";
  }

  std::string recipe_complaint(const std::string& text) {
    return complaint({"--config", recipe(text)});
  }

  std::filesystem::path folder_ =
      std::filesystem::path(testing::TempDir()) / ("cifar_load_" + std::to_string(getpid()));
};

TEST_F(Load, BareProgramTrainsTheArticle) {
  const CommandLine line = parse({});
  EXPECT_EQ(line.verb, "train");
  EXPECT_FALSE(line.help || line.version);
  const Config& config = line.config;
  EXPECT_EQ(config.recipe, "article");
  EXPECT_EQ(config.data.path, "");
  EXPECT_EQ(config.data.split_seed, 42);
  EXPECT_EQ(config.data.validation_size, 5000);
  EXPECT_EQ(config.model.layers.size(), 11u);
  EXPECT_EQ(config.model.layers.front(), "conv 32");
  EXPECT_EQ(config.model.layers.back(), "linear 10");
  EXPECT_EQ(config.optimizer.name, "adam");
  EXPECT_EQ(config.optimizer.learning_rate, 0.001);
  EXPECT_EQ(config.train.epochs, 20);
  EXPECT_EQ(config.train.batch_size, 64);
  EXPECT_EQ(config.train.seed, 42);
  EXPECT_EQ(config.augmentation.flip, "none");
  EXPECT_EQ(config.schedule.name, "constant");
}

TEST_F(Load, FlagsBeatTheRecipeAndThatTheArticle) {
  const std::string path = recipe("[train]\nepochs = 7\nbatch_size = 128\n", "fast.v2.toml");
  const Config config = parse({"train", "--config", path, "--epochs", "3"}).config;
  EXPECT_EQ(config.train.epochs, 3);
  EXPECT_EQ(config.train.batch_size, 128);
  EXPECT_EQ(config.train.seed, 42);
  EXPECT_EQ(config.recipe, "fast.v2");
  // The order of the words does not matter.
  EXPECT_EQ(parse({"--epochs", "3", "--config", path}).config.train.epochs, 3);
}

TEST_F(Load, ReadsEveryTypeFromFlags) {
  const Config config =
      parse({"--flip", "alternating", "--nesterov", "--crop-padding=4", "--learning-rate", "1e-2",
             "--optimizer=sgd", "--layers", "conv 8,relu , flatten, linear 10", "--mean",
             "0.1,0.2, 0.3", "--data=synthetic", "--warmup-epochs", "1"})
          .config;
  EXPECT_EQ(config.augmentation.flip, "alternating");
  EXPECT_TRUE(config.optimizer.nesterov);
  EXPECT_EQ(config.augmentation.crop_padding, 4);
  EXPECT_EQ(config.optimizer.learning_rate, 0.01);
  EXPECT_EQ(config.optimizer.name, "sgd");
  EXPECT_EQ(config.model.layers,
            (std::vector<std::string>{"conv 8", "relu", "flatten", "linear 10"}));
  EXPECT_EQ(config.augmentation.mean, (std::vector<double>{0.1, 0.2, 0.3}));
  EXPECT_EQ(config.data.path, "synthetic");
  EXPECT_EQ(config.schedule.warmup_epochs, 1.0);
}

TEST_F(Load, ReadsEveryTypeFromARecipe) {
  const Config config = with_recipe(R"(
data.path = "/data"          # dotted keys are tables too
[augmentation]
flip = "random"
std = [1, 0.5, 2]
[model]
layers = ["flatten", "linear 10"]
[optimizer]
learning_rate = 1            # an integer will do for a number
)");
  EXPECT_EQ(config.data.path, "/data");
  EXPECT_EQ(config.augmentation.flip, "random");
  EXPECT_EQ(config.augmentation.std, (std::vector<double>{1, 0.5, 2}));
  EXPECT_EQ(config.model.layers, (std::vector<std::string>{"flatten", "linear 10"}));
  EXPECT_EQ(config.optimizer.learning_rate, 1.0);
  EXPECT_EQ(config.train.epochs, 20);
}

// flip was a switch; checkpoints hold such recipes.
TEST_F(Load, ReadsTheFlipOfEarlierRecipes) {
  EXPECT_EQ(with_recipe("[augmentation]\nflip = true").augmentation.flip, "random");
  EXPECT_EQ(with_recipe("[augmentation]\nflip = false").augmentation.flip, "none");
  const BaseRecipe of_checkpoint = {"[augmentation]\nflip = true\n", "step-00000704.pt"};
  EXPECT_EQ(parse_command_line(0, nullptr, of_checkpoint).config.augmentation.flip, "random");
}

TEST_F(Load, TheLastOfTwoFlagsCounts) {
  EXPECT_EQ(parse({"--epochs", "3", "--epochs=5"}).config.train.epochs, 5);
  EXPECT_FALSE(parse({"--nesterov", "--nesterov=false"}).config.optimizer.nesterov);
}

TEST_F(Load, TheLaterSourceDecidesHowTheBatchIsGiven) {
  Config config = parse({"--batch-size-per-rank", "32"}).config;
  EXPECT_EQ(config.train.batch_size_per_rank, 32);
  EXPECT_EQ(config.train.batch_size, 0);

  const std::string path = recipe("[train]\nbatch_size_per_rank = 16\n");
  config = parse({"--config", path}).config;
  EXPECT_EQ(config.train.batch_size_per_rank, 16);
  EXPECT_EQ(config.train.batch_size, 0);

  config = parse({"--config", path, "--batch-size", "256"}).config;
  EXPECT_EQ(config.train.batch_size_per_rank, 0);
  EXPECT_EQ(config.train.batch_size, 256);
}

TEST_F(Load, TakesTheDataFolderFromTheEnvironmentLast) {
  setenv("CIFAR10_DIR", "/from/environment", 1);
  EXPECT_EQ(parse({}).config.data.path, "/from/environment");
  EXPECT_EQ(parse({"--data", "/from/flag"}).config.data.path, "/from/flag");
  EXPECT_EQ(with_recipe("[data]\npath = '/from/recipe'").data.path, "/from/recipe");
}

TEST_F(Load, KnowsItsVerbs) {
  for (const char* verb : {"train", "evaluate", "predict", "inspect", "doctor"}) {
    EXPECT_EQ(parse({verb, "--seed", "1"}).verb, verb);
  }
  EXPECT_TRUE(parse({"--help"}).help);
  EXPECT_TRUE(parse({"evaluate", "-h"}).help);
  EXPECT_TRUE(parse({"--version"}).version);
  EXPECT_TRUE(parse({"--help", "--config", "/nowhere"}).help);
}

TEST_F(Load, PredictTakesPictures) {
  const CommandLine line = parse({"predict", "a.png", "--json", "b.png", "--threads", "1"});
  EXPECT_EQ(line.arguments, (std::vector<std::string>{"a.png", "b.png"}));
  EXPECT_EQ(line.flags, (std::vector<std::string>{"json", "threads"}));
  EXPECT_TRUE(line.config.evaluate.json);
  EXPECT_EQ(line.config.recipe, "article");
}

TEST_F(Load, InspectTakesARecipeFile) {
  const std::string path = recipe("[train]\nepochs = 9", "wide.toml");
  const CommandLine line = parse({"inspect", path});
  EXPECT_EQ(line.arguments, std::vector<std::string>{path});
  EXPECT_EQ(line.config.recipe, "wide");
  EXPECT_EQ(line.config.train.epochs, 9);
}

// Another value than `value`, that the option's check allows.
Value another(const Option& option, const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return !*flag;
  if (const auto* integer = std::get_if<int64_t>(&value)) return *integer + 1;
  if (const auto* number = std::get_if<double>(&value)) return *number / 3 + 0.1;
  if (std::holds_alternative<std::string>(value)) {
    for (const std::string& choice : option.check.choices) {
      if (Value(choice) != value) return choice;
    }
    return std::string("a \"b\"\\\t# \xc3\xa9");
  }
  if (std::holds_alternative<std::vector<double>>(value)) {
    return std::vector<double>{0.4914, 1.0 / 3, 1};
  }
  return std::vector<std::string>{"conv 16 5x5", "relu", "linear 10"};
}

TEST_F(Load, WritesWhatItReads) {
  for (const bool per_rank : {false, true}) {
    Config config = article_config();
    std::vector<Assignment> all;
    for (const Option& option : options()) {
      const bool other_batch_size =
          option.key == (per_rank ? "train.batch_size" : "train.batch_size_per_rank");
      if (other_batch_size || option.section() == "evaluate") continue;
      all.push_back({&option, another(option, get(option, config)), option.key});
    }
    assign(config, all);
    const Config back = with_recipe(to_toml(config));
    for (const Option& option : options()) {
      EXPECT_EQ(get(option, back), get(option, config)) << option.key;
    }
    EXPECT_EQ(to_toml(config).find("[evaluate]"), std::string::npos);
  }
}

TEST_F(Load, WritesTheArticleAsItIs) {
  const Config article = article_config();
  const Config back = with_recipe(to_toml(article));
  for (const Option& option : options()) {
    EXPECT_EQ(get(option, back), get(option, article)) << option.key;
  }
  EXPECT_EQ(to_toml(article).find("# The resolved settings of a run with the recipe \"article\""),
            0u);
}

constexpr const char* kTwoOptimizers = R"(
[[optimizer]]
name = "muon"
parameters = ["conv.weight", "3.*"]
learning_rate = 0.24
until_epoch = 3
[[optimizer]]
name = "sgd"
learning_rate = 0.5
)";

TEST_F(Load, ReadsAndWritesSeveralOptimizers) {
  const Config first = with_recipe(kTwoOptimizers);
  for (const Config& config : {first, with_recipe(to_toml(first))}) {
    ASSERT_EQ(config.optimizers.size(), 2u);
    EXPECT_EQ(config.optimizers[0].name, "muon");
    EXPECT_EQ(config.optimizers[0].parameters, (std::vector<std::string>{"conv.weight", "3.*"}));
    EXPECT_EQ(config.optimizers[0].learning_rate, 0.24);
    EXPECT_EQ(config.optimizers[0].until_epoch, 3);
    EXPECT_EQ(config.optimizers[1].name, "sgd");
    EXPECT_EQ(config.optimizers[1].parameters, std::vector<std::string>{"*"});
    EXPECT_EQ(config.optimizers[1].learning_rate, 0.5);
    EXPECT_EQ(config.optimizers[1].until_epoch, 0);
  }
}

TEST_F(Load, ALaterOptimizerReplacesSeveral) {
  Config config = with_recipe(kTwoOptimizers);
  assign(config, parse_recipe("[train]\nepochs = 3", "r.toml"));
  EXPECT_EQ(config.optimizers.size(), 2u);
  assign(config, parse_recipe("[optimizer]\nlearning_rate = 0.25", "r.toml"));
  EXPECT_TRUE(config.optimizers.empty());
  EXPECT_EQ(config.optimizer.name, "adam");
  EXPECT_EQ(config.optimizer.learning_rate, 0.25);
}

TEST_F(Load, RefusesAnOptimizersFlagBesideSeveral) {
  EXPECT_EQ(complaint({"--config", recipe(kTwoOptimizers), "--learning-rate", "1"}),
            "--learning-rate: given with the 2 optimizers of a recipe; expected a recipe file that "
            "says it in [[optimizer]]");
}

TEST_F(Load, RefusesAFileItCannotRead) {
  const std::string path = recipe("[train]\nepochs = 3");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  const ObedientRoot root;
  EXPECT_EQ(complaint({"--config", path}), "r.toml: Permission denied; expected a readable file");
}

TEST_F(Load, RefusesBadFlags) {
  const struct {
    std::vector<std::string> words;
    std::string message;
  } rows[] = {
      {{"--epoch", "3"}, "--epoch: unknown flag; expected a flag of --help, perhaps --epochs"},
      {{"--batch_size=3"},
       "--batch_size: unknown flag; expected a flag of --help, perhaps --batch-size"},
      {{"-x"}, "-x: unknown flag; expected a flag of --help, perhaps --std"},
      {{"trian"},
       "trian: unknown verb; expected train, evaluate, predict, report, inspect, repeat or doctor, "
       "perhaps train"},
      {{""},
       ": unknown verb; expected train, evaluate, predict, report, inspect, repeat or doctor, "
       "perhaps train"},
      {{"--batch-size", "-3"}, "--batch-size: -3; expected an integer from 1 to 1000000"},
      {{"--epochs", "0"}, "--epochs: 0; expected an integer from 1 to 1000000"},
      {{"--epochs", "2.5"}, "--epochs: 2.5; expected an integer from 1 to 1000000"},
      {{"--epochs", "ten"}, "--epochs: ten; expected an integer from 1 to 1000000"},
      {{"--epochs", "99999999999999999999"},
       "--epochs: 99999999999999999999; expected an integer from 1 to 1000000"},
      {{"--epochs", "9223372036854775807"},
       "--epochs: 9223372036854775807; expected an integer from 1 to 1000000"},
      {{"--epochs"}, "--epochs: no value; expected an integer from 1 to 1000000"},
      {{"--epochs="}, "--epochs: no value; expected an integer from 1 to 1000000"},
      {{"--epochs", "--nesterov"}, "--epochs: no value; expected an integer from 1 to 1000000"},
      {{"--data", "--nesterov"}, "--data: no value; expected a string"},
      {{"--learning-rate", "nan"}, "--learning-rate: nan; expected a number greater than 0"},
      {{"--learning-rate=inf"}, "--learning-rate: inf; expected at most 1000000000000"},
      {{"--learning-rate", "-1e-3"}, "--learning-rate: -0.001; expected a number greater than 0"},
      {{"--learning-rate", "1e999"}, "--learning-rate: 1e999; expected a number greater than 0"},
      {{"--precision", "fp8"}, "--precision: fp8; expected fp32, tf32, bf16 or fp16"},
      {{"--precision="}, "--precision: no value; expected fp32, tf32, bf16 or fp16"},
      {{"--nesterov=maybe"}, "--nesterov: maybe; expected true or false"},
      {{"--flip=true"}, "--flip: true; expected none, random or alternating"},
      {{"--padding-mode", "mirror"}, "--padding-mode: mirror; expected black or reflect"},
      {{"--cutout", "33"}, "--cutout: 33; expected an integer from 0 to 32"},
      {{"--brightness=-0.1"}, "--brightness: -0.1; expected a number of at least 0"},
      {{"--label-smoothing", "1"},
       "--label-smoothing: 1; expected a number of at least 0, below 1"},
      {{"--loss-reduction", "max"}, "--loss-reduction: max; expected mean or sum"},
      {{"--tta", "flip"}, "--tta: flip; expected none, mirror or shift"},
      {{"--tta-uncertain", "1.1"}, "--tta-uncertain: 1.1; expected a number from 0 to 1"},
      {{"--contrast", "1.5"}, "--contrast: 1.5; expected a number from 0 to 1"},
      {{"--nesterov", "false"},
       "false: one word too many for train; expected only flags; a switch is turned off by "
       "--flag=false"},
      {{"--mean", "0.1,0.2"}, "--mean: 0.1,0.2; expected 3 numbers from 0 to 1"},
      {{"--mean", "a,b,c"}, "--mean: a,b,c; expected 3 numbers from 0 to 1"},
      {{"--layers", ""}, "--layers: no value; expected a list of at least 1 string"},
      {{"--batch-size", "64", "--batch-size-per-rank", "32"},
       "--batch-size-per-rank: given together with --batch-size; expected one of the two"},
      {{"inspect", "a.toml", "b.toml"},
       "b.toml: one word too many for inspect; expected one recipe file and flags"},
      {{"inspect", "a.toml", "--config", "b.toml"},
       "--config: given together with a.toml; expected one recipe file"},
      {{"--config"}, "--config: no value; expected a recipe file"},
      {{"--config="}, "--config: no value; expected a recipe file"},
      {{"--config", (folder_ / "none.toml").string()},
       "none.toml: No such file or directory; expected a readable file"},
      {{"--config", "/dev/zero"}, "/dev/zero: not a regular file; expected a regular file"},
      {{"--config", recipe(std::string(1'000'001, '#'), "long.toml")},
       "long.toml: 1000001 bytes; expected at most 1000000 bytes"},
      {{"predict", "--checkpoint", "--", "x"}, "--checkpoint: no value; expected a string"},
      {{"--", "--epochs"},
       "--epochs: one word too many for train; expected only flags; a switch is turned off by "
       "--flag=false"},
      {{"--config", "/"}, "/: a folder; expected a regular file"},
  };
  for (const auto& row : rows) EXPECT_EQ(complaint(row.words), row.message);
}

TEST_F(Load, RefusesBadRecipes) {
  const struct {
    std::string text;
    std::string message;
  } rows[] = {
      {"[train]\n  epoch = 3",
       "r.toml:2:3: train.epoch: unknown key; expected a key of --help, perhaps train.epochs"},
      {"[train]\nlearning_rate = 1",
       "r.toml:2:1: train.learning_rate: unknown key; expected a key of --help, perhaps "
       "optimizer.learning_rate"},
      {"epochs = 3",
       "r.toml:1:1: epochs: unknown key; expected a key of --help, perhaps "
       "train.epochs"},
      {"[optimiser]\nname = 'sgd'",
       "r.toml:1:2: optimiser: unknown section; expected a section of --help, perhaps optimizer"},
      {"train = 3", "r.toml:1:9: train: 3; expected a table, [train]"},
      {"[train]\nepochs = '3'",
       "r.toml:2:10: train.epochs: \"3\"; expected an integer from 1 to 1000000"},
      {"[train]\nepochs = 3.0",
       "r.toml:2:10: train.epochs: 3.0; expected an integer from 1 to 1000000"},
      {"[train]\nepochs = 0",
       "r.toml:2:10: train.epochs: 0; expected an integer from 1 to 1000000"},
      {"[train]\nepochs = {a = 1}",
       "r.toml:2:10: train.epochs: a table; expected an integer from 1 to 1000000"},
      {"[train]\nepochs = 2024-01-01",
       "r.toml:2:10: train.epochs: a date or time; expected an integer from 1 to 1000000"},
      {"[augmentation]\nflip = 1",
       "r.toml:2:8: augmentation.flip: 1; expected none, random or alternating"},
      {"[augmentation]\npadding_mode = true",
       "r.toml:2:16: augmentation.padding_mode: true; expected black or reflect"},
      {"[optimizer]\nnesterov = 1", "r.toml:2:12: optimizer.nesterov: 1; expected true or false"},
      {"[optimizer]\nlearning_rate = nan",
       "r.toml:2:17: optimizer.learning_rate: nan; expected a number greater than 0"},
      {"[optimizer]\nname = 'lion'",
       "r.toml:2:8: optimizer.name: lion; expected adam, adamw, sgd or muon"},
      {"[[optimizer]]\nlearning_rate = 1",
       "r.toml:1:1: optimizer.name: missing; expected adam, adamw, sgd or muon"},
      {"[[optimizer]]\nname = 'sgd'\nlearning_rate = 1\n[[optimizer]]\nname = 'sgd'",
       "r.toml:4:1: optimizer.learning_rate: missing; expected a number greater than 0"},
      {"[[optimizer]]\nname = 'sgd'\nlearning_rate = 0",
       "r.toml:3:17: optimizer.learning_rate: 0; expected a number greater than 0"},
      {"[[optimizer]]\nname = 'sgd'\nlearning_rate = 1\nparameters = []",
       "r.toml:4:14: optimizer.parameters: empty; expected a list of at least 1 string"},
      {"optimizer = [1, 2]", "r.toml:1:13: optimizer: [1, 2]; expected a table, [optimizer]"},
      {"[[train]]\nepochs = 1", "r.toml:1:1: train: [a table]; expected a table, [train]"},
      {"[augmentation]\nstd = [1, 'x', 1]",
       "r.toml:2:7: augmentation.std: [1, \"x\", 1]; expected 3 numbers greater than 0"},
      {"[model]\nlayers = []",
       "r.toml:2:10: model.layers: empty; expected a list of at least 1 string"},
      {"[model]\nlayers = 'relu'",
       "r.toml:2:10: model.layers: \"relu\"; expected a list of at least 1 string"},
      {"[train]\nbatch_size = 64\nbatch_size_per_rank = 32",
       "r.toml:3:23: train.batch_size_per_rank: given together with r.toml:2:14: "
       "train.batch_size; expected one of the two"},
  };
  for (const auto& row : rows) EXPECT_EQ(recipe_complaint(row.text), row.message);
}

TEST_F(Load, SaysKeysOnOneLineAndWhole) {
  const std::string complaint = recipe_complaint("[train]\n\"\\u001B[31m\\nepochs\\u0000\" = 3");
  EXPECT_TRUE(complaint.starts_with(
      "r.toml:2:1: train.\\u001B[31m\\nepochs\\u0000: unknown key; expected a key of --help"))
      << complaint;
}

TEST_F(Load, RefusesWhatNoRecipeCanHold) {
  EXPECT_EQ(complaint({"--run-dir", "caf\xe9"}),
            "--run-dir: caf\\xE9; expected text in UTF-8, as a recipe holds it");
  EXPECT_EQ(parse({"predict", "--checkpoint", "caf\xe9"}).config.evaluate.checkpoint, "caf\xe9");
  setenv("CIFAR10_DIR", "caf\xe9", 1);
  EXPECT_TRUE(complaint({}).starts_with("CIFAR10_DIR: caf\\xE9"));
  unsetenv("CIFAR10_DIR");
  const Config config = parse({"--config", recipe("", "a\nb\xe9.toml")}).config;
  EXPECT_EQ(config.recipe, "a\\nb\\xE9");
  EXPECT_NO_THROW(with_recipe(to_toml(config)));
}

TEST_F(Load, TakesNoFlagsBehindTwoDashes) {
  const CommandLine line = parse({"predict", "--json", "--", "-x.png", "--", "--json=false"});
  EXPECT_EQ(line.arguments, (std::vector<std::string>{"-x.png", "--", "--json=false"}));
  EXPECT_EQ(line.flags, std::vector<std::string>{"json"});
  EXPECT_TRUE(line.config.evaluate.json);
  EXPECT_TRUE(parse({"predict", "--"}).arguments.empty());
  EXPECT_EQ(parse({"inspect", "--", recipe("[train]\nepochs = 3")}).config.train.epochs, 3);
}

TEST_F(Load, NamesThePlaceOfASyntaxError) {
  EXPECT_EQ(recipe_complaint("[train]\nepochs = = 3").rfind("r.toml:2:10: ", 0), 0u);
  EXPECT_EQ(recipe_complaint("[train]\nepochs = 3\nepochs = 4").rfind("r.toml:3:", 0), 0u);
  EXPECT_EQ(recipe_complaint("[train]\n\xff").rfind("r.toml:", 0), 0u);
}

}  // namespace
}  // namespace cifar

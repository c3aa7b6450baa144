// The table of options against the names that DESIGN.md promises to scripts, and the help text.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>

#include "config/load.h"
#include "config/options.h"
#include "config/values.h"
#include "config/verbs.h"

namespace cifar {
namespace {

const Option& find(const std::string& key) {
  for (const Option& option : options()) {
    if (option.key == key) return option;
  }
  throw std::out_of_range(key);
}

bool allows(const std::string& key, const Value& value) {
  return find(key).check(value);
}

TEST(Options, HaveOneKeyAndOneFlagEach) {
  std::set<std::string> keys, flags, sections_seen, known;
  for (const Section& section : sections()) known.insert(section.name);
  for (const Option& option : options()) {
    EXPECT_TRUE(keys.insert(option.key).second) << option.key;
    EXPECT_TRUE(flags.insert(option.flag).second) << option.flag;
    EXPECT_TRUE(known.contains(option.section())) << option.key;
    sections_seen.insert(option.section());
  }
  EXPECT_EQ(sections_seen, known);
}

TEST(Options, PointToMembersOfTheirOwn) {
  Config config;
  std::set<const void*> members;
  for (const Option& option : options()) {
    std::visit([&](auto* member) { EXPECT_TRUE(members.insert(member).second) << option.key; },
               option.field(config));
  }
}

TEST(Options, CarryTheFlagsThatScriptsRelyOn) {
  std::set<std::string> flags;
  for (const Option& option : options()) flags.insert(option.flag);
  for (const char* flag : {"data", "run-dir", "epochs", "max-steps", "batch-size", "shards", "seed",
                           "threads", "device", "comm", "precision", "resume", "checkpoint-every",
                           "keep", "timeout", "validation", "learning-rate"}) {
    EXPECT_TRUE(flags.contains(flag)) << flag;
  }
}

TEST(Options, AreSwitchesExactlyWhenTheyTakeNoValue) {
  for (const Option& option : options()) {
    EXPECT_EQ(option.value_name.empty(), std::holds_alternative<bool>(get(option, Config{})))
        << option.key;
  }
}

TEST(Options, CheckTheirBounds) {
  EXPECT_FALSE(allows("train.batch_size", int64_t{0}));
  EXPECT_TRUE(allows("train.batch_size", int64_t{1}));
  EXPECT_FALSE(allows("train.epochs", std::numeric_limits<int64_t>::max()));
  EXPECT_FALSE(allows("data.validation_size", int64_t{50000}));
  EXPECT_FALSE(allows("optimizer.learning_rate", 0.0));
  EXPECT_TRUE(allows("optimizer.weight_decay", 0.0));
  EXPECT_FALSE(allows("optimizer.beta1", 1.0));
  EXPECT_TRUE(allows("schedule.one_cycle_peak", 1.0));
  EXPECT_FALSE(allows("schedule.one_cycle_peak", 1.01));
  EXPECT_FALSE(allows("augmentation.std", std::vector<double>{1, 0, 1}));
  EXPECT_FALSE(allows("augmentation.mean", std::vector<double>{0, 0}));
  EXPECT_FALSE(allows("model.layers", std::vector<std::string>{}));
  EXPECT_TRUE(allows("optimizer.name", std::string("sgd")));
  EXPECT_FALSE(allows("optimizer.name", std::string("SGD")));
}

TEST(Options, RefuseNumbersThatAreNotFinite) {
  for (const Option& option : options()) {
    if (!std::holds_alternative<double>(get(option, Config{}))) continue;
    for (const double number : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      EXPECT_FALSE(option.check(number)) << option.key << " " << number;
    }
  }
}

TEST(Options, SayWhatTheyExpect) {
  EXPECT_EQ(expectation(find("train.batch_size")), "an integer from 1 to 1000000");
  EXPECT_EQ(expectation(find("optimizer.epsilon")), "a number greater than 0");
  EXPECT_EQ(expectation(find("optimizer.momentum")), "a number of at least 0, below 1");
  EXPECT_EQ(expectation(find("schedule.final_factor")), "a number from 0 to 1");
  EXPECT_EQ(expectation(find("augmentation.mean")), "3 numbers from 0 to 1");
  EXPECT_EQ(expectation(find("train.precision")), "fp32, tf32, bf16 or fp16");
  EXPECT_EQ(expectation(find("augmentation.flip")), "none, random or alternating");
  EXPECT_EQ(expectation(find("optimizer.nesterov")), "true or false");
}

TEST(Help, FitsEightyColumns) {
  std::vector<std::string> texts = {help_text()};
  for (const Verb& verb : verbs()) texts.push_back(help_text(verb.name));
  for (const std::string& all : texts) {
    std::istringstream text(all);
    for (std::string line; std::getline(text, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(Help, OfAVerbShowsWhatItHeeds) {
  for (const Verb& verb : verbs()) {
    const std::string text = help_text(verb.name);
    EXPECT_TRUE(text.starts_with("usage: cifar-ddp " + verb.name + " ")) << text;
    for (const Option& option : options()) {
      const bool shown =
          text.find("\n  --" + option.flag + " " + option.value_name) != std::string::npos;
      EXPECT_EQ(shown, verb.heeds(option)) << verb.name << " " << option.flag;
    }
  }
}

TEST(Verbs, NameSectionsAndKeysThatAreThere) {
  for (const Verb& verb : verbs()) {
    for (const std::string& entry : verb.options) {
      const bool is_section = std::ranges::count(sections(), entry, &Section::name) == 1;
      EXPECT_TRUE(is_section || std::ranges::count(options(), entry, &Option::key) == 1)
          << verb.name << " " << entry;
    }
  }
}

TEST(Verbs, HeedEveryOptionSomewhere) {
  for (const Option& option : options()) {
    EXPECT_TRUE(std::ranges::any_of(verbs(), [&](const Verb& it) { return it.heeds(option); }))
        << option.key;
  }
}

TEST(Help, ShowsEveryFlagAndSection) {
  const std::string text = help_text();
  for (const Option& option : options()) {
    const std::string start = "\n  --" + option.flag + " " + option.value_name;
    EXPECT_NE(text.find(start), std::string::npos) << option.flag;
  }
  for (const Section& section : sections()) {
    EXPECT_NE(text.find("[" + section.name + "]\n"), std::string::npos) << section.name;
  }
  for (const char* word : {"mpirun -np 4 cifar-ddp", "evaluate", "inspect", "doctor", "--config",
                           "--version", "CIFAR10_DIR", "75  asked to stop"}) {
    EXPECT_NE(text.find(word), std::string::npos) << word;
  }
}

TEST(Help, ShowsTheDefaultsOfTheArticle) {
  const std::string text = help_text();
  EXPECT_NE(text.find("images a step, over all ranks [64]\n"), std::string::npos);
  EXPECT_NE(text.find("passes over the train split [20]\n"), std::string::npos);
}

TEST(Nearest, HasTheSmallestEditDistance) {
  EXPECT_EQ(nearest("epoch", {"seed", "epochs", "keep"}), "epochs");
  EXPECT_EQ(nearest("tets", {"train", "test", "val"}), "test");
  EXPECT_EQ(nearest("", {"train", "val"}), "val");
  EXPECT_EQ(nearest("sitting", {"saturday", "kitten"}), "kitten");
}

TEST(Text, IsTomlOrAFlagsValue) {
  EXPECT_EQ(to_toml_text(1.0), "1.0");
  EXPECT_EQ(to_toml_text(0.1), "0.1");
  EXPECT_EQ(to_toml_text(std::string("a\"b\\c\n")), R"("a\"b\\c\u000A")");
  EXPECT_EQ(to_toml_text(std::vector<std::string>{"relu", "flatten"}), R"(["relu", "flatten"])");
  EXPECT_EQ(to_flag_text(std::vector<std::string>{"relu", "flatten"}), "relu, flatten");
  EXPECT_EQ(to_flag_text(std::vector<double>{0.5, 1}), "0.5,1");
}

}  // namespace
}  // namespace cifar

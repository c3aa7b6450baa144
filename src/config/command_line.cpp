#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <utility>

// Of no use here, and g++ 12 warns about its own <regex> when sanitizers are on.
#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>

#include "base/error.h"
#include "base/printable.h"
#include "config/home.h"
#include "config/load.h"
#include "config/toml_file.h"
#include "config/verbs.h"

namespace cifar {
namespace {

constexpr const char* kRecipeFile = "a recipe file";

struct Words {
  std::vector<std::pair<std::string, std::string>> flags;  // name and value, as given
  std::vector<std::string> arguments;
};

void check_verb(const std::string& verb) {
  if (find_verb(verb) != nullptr) return;
  std::vector<std::string> names;
  for (const Verb& each : verbs()) names.push_back(each.name);
  throw Error(ExitCode::kUsage, verb, "unknown verb",
              fmt::format("{}, perhaps {}", join_choices(names), nearest(verb, names)));
}

// Every value is text here; values.h gives it its type.
cxxopts::Options make_parser() {
  cxxopts::Options parser("cifar-ddp");
  auto add = parser.add_options();
  add("h,help", "", cxxopts::value<std::string>()->implicit_value("true"));
  add("version", "", cxxopts::value<std::string>()->implicit_value("true"));
  add("config", "", cxxopts::value<std::string>());
  for (const Option& option : options()) {
    auto value = cxxopts::value<std::string>();
    if (option.value_name.empty()) value->implicit_value("true");
    add(option.flag, "", value);
  }
  parser.allow_unrecognised_options();  // to name the nearest known one
  return parser;
}

[[noreturn]] void unknown_flag(const std::string& word) {
  const std::string flag = word.substr(0, word.find('='));
  std::vector<std::string> known = {"--config", "--help", "--version"};
  for (const Option& option : options()) known.push_back("--" + option.flag);
  throw Error(ExitCode::kUsage, flag, "unknown flag",
              "a flag of --help, perhaps " + nearest(flag, known));
}

const Option* find_flag(const std::string& flag) {
  const auto option = std::ranges::find(options(), flag, &Option::flag);
  return option == options().end() ? nullptr : &*option;
}

[[noreturn]] void missing_value(const std::string& last_word) {
  const Option* option = find_flag(last_word.substr(2));
  throw Error(ExitCode::kUsage, last_word, "no value",
              option == nullptr ? kRecipeFile : expectation(*option));
}

// The words behind the verb; argv[0] is skipped. Behind "--" none is a flag.
Words split_words(int argc, const char* const* argv) {
  Words words;
  const char* const* end = argv + argc;
  const char* const* flags_end = std::find(argv + 1, end, std::string_view("--"));
  argc = static_cast<int>(flags_end - argv);
  try {
    const cxxopts::ParseResult result = make_parser().parse(argc, argv);
    for (const auto& flag : result.arguments()) words.flags.push_back({flag.key(), flag.value()});
    words.arguments = result.unmatched();
  } catch (const cxxopts::exceptions::missing_argument&) {
    missing_value(argv[argc - 1]);
  }
  for (const std::string& word : words.arguments) {
    if (word.starts_with("-")) unknown_flag(word);
  }
  if (flags_end != end) words.arguments.insert(words.arguments.end(), flags_end + 1, end);
  return words;
}

void check_arguments(const CommandLine& line) {
  const size_t allowed = find_verb(line.verb)->arguments;
  if (line.arguments.size() <= allowed) return;
  throw Error(ExitCode::kUsage, line.arguments[allowed],
              fmt::format("one word too many for {}", line.verb),
              allowed == 0 ? "only flags; a switch is turned off by --flag=false"
                           : "one recipe file and flags");
}

// The file of --config, or inspect's argument; empty: none.
std::string recipe_file(const std::string& verb, const Words& words) {
  const bool as_argument = verb == "inspect" && !words.arguments.empty();
  std::string file = as_argument ? words.arguments.front() : "";
  for (const auto& [flag, value] : words.flags) {
    if (flag != "config") continue;
    if (value.empty() || value.starts_with("--")) {
      throw Error(ExitCode::kUsage, "--config", "no value", kRecipeFile);
    }
    if (as_argument) {
      throw Error(ExitCode::kUsage, "--config", "given together with " + words.arguments.front(),
                  "one recipe file");
    }
    file = expand_home(value, "--config");
  }
  return file;
}

std::vector<Assignment> assignments(const Words& words) {
  std::vector<Assignment> source;
  for (const auto& [flag, value] : words.flags) {
    const Option* option = find_flag(flag);
    if (option == nullptr) continue;  // --config
    const std::string subject = "--" + flag;
    source.push_back({option, parse_value(*option, value, subject), subject});
  }
  return source;
}

// A flag cannot say which of several optimizers it means.
void refuse_ambiguous(const std::vector<Assignment>& flags, const Config& config) {
  if (config.optimizers.empty()) return;
  for (const Assignment& flag : flags) {
    if (flag.option->section() != "optimizer") continue;
    throw Error(ExitCode::kUsage, flag.subject,
                fmt::format("given with the {} optimizers of a recipe", config.optimizers.size()),
                "a recipe file that says it in [[optimizer]]");
  }
}

std::vector<Assignment> base_assignments(const BaseRecipe& base) {
  std::vector<Assignment> source = parse_recipe(base.text, base.name);
  std::erase_if(source, [](const Assignment& it) { return it.option->section() == "run"; });
  return source;
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv, const BaseRecipe& base) {
  CommandLine line;
  line.verb_given = argc > 1 && argv[1][0] != '-';
  line.verb = line.verb_given ? argv[1] : "train";
  check_verb(line.verb);
  line.config = article_config();
  const Words words =
      argc > 1 ? split_words(argc - line.verb_given, argv + line.verb_given) : Words{};
  line.arguments = words.arguments;
  for (const auto& [flag, value] : words.flags) {
    line.flags.push_back(flag);
    line.help |= flag == "help";
    line.version |= flag == "version";
  }
  if (line.help || line.version) return line;

  check_arguments(line);
  assign(line.config, base_assignments(base));
  if (const std::string file = recipe_file(line.verb, words); !file.empty()) {
    assign(line.config, read_recipe_file(file));
    // A folder is named for it, and it is written into files of text.
    line.config.recipe = printable(std::filesystem::path(file).stem().string());
  }
  const std::vector<Assignment> flags = assignments(words);
  refuse_ambiguous(flags, line.config);
  assign(line.config, flags);
  if (line.config.data.path.empty()) {
    if (const char* folder = std::getenv("CIFAR10_DIR")) {
      assign(line.config, {{find_flag("data"), std::string(folder), "CIFAR10_DIR"}});
    }
  }
  return line;
}

}  // namespace cifar

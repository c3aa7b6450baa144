#include "config/toml_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "base/error.h"
#include "base/files.h"
#include "config/load.h"

namespace cifar {
namespace {

// The node as the type of the second argument, or nothing. An integer will do for a number.
std::optional<Value> read_as(const toml::node& node, bool) {
  if (const auto* value = node.as_boolean()) return value->get();
  return std::nullopt;
}

std::optional<Value> read_as(const toml::node& node, int64_t) {
  if (const auto* value = node.as_integer()) return value->get();
  return std::nullopt;
}

std::optional<Value> read_as(const toml::node& node, double) {
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_integer()) return static_cast<double>(value->get());
  return std::nullopt;
}

std::optional<Value> read_as(const toml::node& node, const std::string&) {
  if (const auto* value = node.as_string()) return value->get();
  return std::nullopt;
}

template <class T>
std::optional<Value> read_as(const toml::node& node, const std::vector<T>&) {
  const auto* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  std::vector<T> list;
  for (const toml::node& element : *array) {
    const auto value = read_as(element, T{});
    if (!value) return std::nullopt;
    list.push_back(std::get<T>(*value));
  }
  return list;
}

// The node as the recipe has it, for a message of one line.
std::string show(const toml::node& node) {
  if (const auto* value = node.as_string()) return to_toml_text(value->get());
  if (const auto* value = node.as_integer()) return to_toml_text(value->get());
  if (const auto* value = node.as_floating_point()) return to_toml_text(value->get());
  if (const auto* value = node.as_boolean()) return to_toml_text(value->get());
  if (const auto* array = node.as_array()) {
    std::string elements;
    for (const toml::node& element : *array) {
      elements += (elements.empty() ? "" : ", ") + show(element);
    }
    return "[" + elements + "]";
  }
  return node.is_table() ? "a table" : "a date or time";
}

class RecipeReader {
 public:
  explicit RecipeReader(const std::string& name) : name_(name) {}

  std::vector<Assignment> read(const toml::table& document) {
    std::vector<std::string> names;
    for (const Section& section : sections()) names.push_back(section.name);
    for (const auto& [key, node] : document) {
      if (std::ranges::find(names, key.str()) != names.end()) {
        read_section(key, node);
      } else if (node.is_table()) {
        throw Error(ExitCode::kUsage, subject(key.source(), key.str()), "unknown section",
                    fmt::format("a section of --help, perhaps {}", nearest(key.str(), names)));
      } else {
        unknown_key(key, std::string(key.str()));
      }
    }
    return std::move(assignments_);
  }

 private:
  void read_section(const toml::key& section, const toml::node& node) {
    if (section == "optimizer" && node.is_array_of_tables())
      return read_optimizers(*node.as_array());
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      throw Error(ExitCode::kUsage, subject(node.source(), section.str()), show(node),
                  fmt::format("a table, [{}]", section.str()));
    }
    read_table(section.str(), *table);
  }

  // [[optimizer]], each for the parameters that it claims. What one leaves out has the values of
  // config.h, not the article's: nothing says which of them the article's optimizer would be.
  void read_optimizers(const toml::array& tables) {
    for (const toml::node& node : tables) {
      optimizer_ = optimizer_ ? *optimizer_ + 1 : 0;
      const toml::table& table = *node.as_table();
      for (const char* needed : {"name", "learning_rate"}) {
        if (table.contains(needed)) continue;
        const std::string key = fmt::format("optimizer.{}", needed);
        throw Error(ExitCode::kUsage, subject(node.source(), key), "missing",
                    expectation(*std::ranges::find(options(), key, &Option::key)));
      }
      read_table("optimizer", table);
    }
    optimizer_.reset();
  }

  void read_table(std::string_view section, const toml::table& table) {
    for (const auto& [key, value] : table) {
      const std::string path = fmt::format("{}.{}", section, key.str());
      const auto option = std::ranges::find(options(), path, &Option::key);
      if (option == options().end()) unknown_key(key, path);
      read_value(*option, value);
    }
  }

  void read_value(const Option& option, const toml::node& node) {
    const std::string place = subject(node.source(), option.key);
    auto value =
        std::visit([&](const auto& type) { return read_as(node, type); }, get(option, Config{}));
    if (const auto* on = node.as_boolean(); on != nullptr && !option.check.of_switch.empty()) {
      value = option.check.of_switch[on->get() ? 1 : 0];
    }
    if (!value) throw Error(ExitCode::kUsage, place, show(node), expectation(option));
    assignments_.push_back({&option, *value, place, optimizer_});
  }

  // The nearest key may be one of that name in another section.
  [[noreturn]] void unknown_key(const toml::key& key, const std::string& path) {
    std::vector<std::string> names;
    for (const Option& option : options()) names.push_back(option.name());
    const std::string name = nearest(key.str(), names);
    std::vector<std::string> keys;
    for (const Option& option : options()) {
      if (option.name() == name) keys.push_back(option.key);
    }
    throw Error(ExitCode::kUsage, subject(key.source(), path), "unknown key",
                "a key of --help, perhaps " + nearest(path, keys));
  }

  std::string subject(const toml::source_region& source, std::string_view key) const {
    return fmt::format("{}:{}:{}: {}", name_, source.begin.line, source.begin.column, key);
  }

  std::string name_;
  std::vector<Assignment> assignments_;
  std::optional<size_t> optimizer_;  // that is being read, of several
};

// The keys of a section with their values.
std::string table_text(const std::string& section, const Config& config) {
  std::string text;
  for (const Option& option : options()) {
    if (option.section() != section) continue;
    const Value value = get(option, config);
    // The batch size that is not given is 0, which a recipe must not say. Nor an empty text, so
    // that a file of a build with --fault can be read by one without.
    const bool not_given =
        (value == Value(int64_t{0}) && !option.check(value)) || value == Value(std::string());
    if (!not_given) text += fmt::format("{} = {}\n", option.name(), to_toml_text(value));
  }
  return text;
}

constexpr int64_t kMostBytes = 1'000'000;

// A recipe may come out of a checkpoint, which others may have made. toml++ follows a key of many
// parts (a.b.c) by recursion, to where the stack ends; each part costs a point.
void refuse_what_is_too_large(std::string_view text, const std::string& name) {
  constexpr int64_t kMostPoints = 50'000;
  const auto bytes = static_cast<int64_t>(text.size());
  const int64_t points = std::ranges::count(text, '.');
  if (bytes > kMostBytes) {
    throw Error(ExitCode::kUsage, name, fmt::format("a recipe of {} bytes", bytes),
                fmt::format("at most {} bytes", kMostBytes));
  }
  if (points > kMostPoints) {
    throw Error(ExitCode::kUsage, name,
                fmt::format("a recipe with {} points in keys and numbers", points),
                fmt::format("at most {}", kMostPoints));
  }
}

}  // namespace

std::vector<Assignment> parse_recipe(std::string_view text, const std::string& name) {
  refuse_what_is_too_large(text, name);
  try {
    return RecipeReader(name).read(toml::parse(text));
  } catch (const toml::parse_error& error) {
    const auto place = error.source().begin;
    throw Error(ExitCode::kUsage, fmt::format("{}:{}:{}", name, place.line, place.column),
                error.description(), "TOML");
  }
}

std::vector<Assignment> read_recipe_file(const std::string& path) {
  return parse_recipe(read_file(path, ExitCode::kUsage, kMostBytes), path);
}

Config article_config() {
  Config config;
  assign(config, parse_recipe(kArticleRecipe, "article.toml (compiled in)"));
  return config;
}

std::string to_toml(const Config& config) {
  std::string text = fmt::format("# The resolved settings of a run with the recipe {}.\n",
                                 to_toml_text(config.recipe));
  for (const Section& section : sections()) {
    if (section.name == "evaluate") continue;
    if (section.name == "optimizer" && !config.optimizers.empty()) {
      for (const OptimizerConfig& optimizer : config.optimizers) {
        Config each = config;
        each.optimizer = optimizer;
        text += "\n[[optimizer]]\n" + table_text("optimizer", each);
      }
      continue;
    }
    text += fmt::format("\n[{}]\n{}", section.name, table_text(section.name, config));
  }
  return text;
}

}  // namespace cifar

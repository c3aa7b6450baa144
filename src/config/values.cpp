#include "config/values.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/printable.h"
#include "config/home.h"

namespace cifar {
namespace {

// The whole text as a number, or nothing.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string trim(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  if (trim(text).empty()) return parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(trim(text.substr(begin, end - begin)));
    begin = end + 1;
  }
  return parts;
}

// The text as the type of the second argument, or nothing.
std::optional<Value> read_as(const std::string& text, bool) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

std::optional<Value> read_as(const std::string& text, int64_t) {
  return parse_number<int64_t>(text);
}

std::optional<Value> read_as(const std::string& text, double) {
  return parse_number<double>(text);
}

std::optional<Value> read_as(const std::string& text, const std::string&) {
  return text;
}

std::optional<Value> read_as(const std::string& text, const std::vector<std::string>&) {
  return split_at_commas(text);
}

std::optional<Value> read_as(const std::string& text, const std::vector<double>&) {
  std::vector<double> numbers;
  for (const std::string& part : split_at_commas(text)) {
    const auto number = parse_number<double>(part);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return numbers;
}

std::string quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04X}", static_cast<int>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

// The shortest text that reads back to the same double, and to a double.
std::string real(double number) {
  const std::string text = fmt::format("{}", number);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

struct TomlText {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int64_t value) const { return fmt::format("{}", value); }
  std::string operator()(double value) const { return real(value); }
  std::string operator()(const std::string& value) const { return quote(value); }
  template <class T>
  std::string operator()(const std::vector<T>& list) const {
    std::vector<std::string> parts;
    for (const T& each : list) parts.push_back((*this)(each));
    return fmt::format("[{}]", fmt::join(parts, ", "));
  }
};

// Of integers all have a lower bound.
std::string integer_bounds(const Check& check) {
  return fmt::format(" from {} to {}", static_cast<int64_t>(check.low),
                     static_cast<int64_t>(check.high));
}

std::string bounds(const Check& check) {
  if (check.low == -Check::kLimit) return "";
  if (check.low_excluded) return fmt::format(" greater than {}", check.low);
  if (check.high == Check::kLimit) return fmt::format(" of at least {}", check.low);
  if (check.high_excluded) return fmt::format(" of at least {}, below {}", check.low, check.high);
  return fmt::format(" from {} to {}", check.low, check.high);
}

bool above_limit(const Value& value) {
  const auto* number = std::get_if<double>(&value);
  return number != nullptr && *number > Check::kLimit;
}

// A run keeps its settings as TOML, in config.toml and in each checkpoint, and TOML is UTF-8: a
// path of other bytes would make them unreadable. What the other verbs are asked for is not kept.
void check_text(const Assignment& given) {
  const auto* text = std::get_if<std::string>(&given.value);
  if (text == nullptr || given.option->section() == "evaluate" || is_utf8(*text)) return;
  throw Error(ExitCode::kUsage, given.subject, *text, "text in UTF-8, as a recipe holds it");
}

// The value as a Config has it: where "~" is, is settled here, once for all sources.
Value resolved(const Assignment& given) {
  const auto* path = std::get_if<std::string>(&given.value);
  if (path == nullptr || !given.option->is_path()) return given.value;
  return expand_home(*path, given.subject);
}

void check(const Assignment& given) {
  if (given.option->check(given.value)) return;
  const bool limited = above_limit(given.value) && given.option->check.high == Check::kLimit;
  const std::string text = to_flag_text(given.value);
  throw Error(ExitCode::kUsage, given.subject, text.empty() ? "empty" : text,
              limited ? fmt::format("at most {}", static_cast<int64_t>(Check::kLimit))
                      : expectation(*given.option));
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);  // distances of a's first i letters to b's first j
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replace, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

void assign(Config& config, const std::vector<Assignment>& source) {
  const auto of_optimizer = [](const Assignment& it) {
    return it.option->section() == "optimizer";
  };
  if (std::ranges::any_of(source, of_optimizer)) config.optimizers.clear();
  const Assignment* batch = nullptr;
  const Assignment* batch_per_rank = nullptr;
  for (const Assignment& given : source) {
    check(given);
    check_text(given);
    const Value value = resolved(given);
    const Field field = given.option->field(config);
    if (given.optimizer) {
      config.optimizers.resize(std::max(config.optimizers.size(), *given.optimizer + 1));
      std::swap(config.optimizer, config.optimizers[*given.optimizer]);
    }
    std::visit(
        [&](auto* member) { *member = std::get<std::remove_pointer_t<decltype(member)>>(value); },
        field);
    if (given.optimizer) std::swap(config.optimizer, config.optimizers[*given.optimizer]);
    if (field == Field(&config.train.batch_size)) batch = &given;
    if (field == Field(&config.train.batch_size_per_rank)) batch_per_rank = &given;
  }
  if (batch && batch_per_rank) {
    throw Error(ExitCode::kUsage, batch_per_rank->subject, "given together with " + batch->subject,
                "one of the two");
  }
  if (batch) config.train.batch_size_per_rank = 0;
  if (batch_per_rank) config.train.batch_size = 0;
}

Value parse_value(const Option& option, const std::string& text, const std::string& subject) {
  const Value type = get(option, Config{});
  const bool may_be_empty = std::holds_alternative<std::string>(type) && option.check(text);
  // A flag that follows directly is not meant as this one's value.
  if ((text.empty() && !may_be_empty) || text.starts_with("--")) {
    throw Error(ExitCode::kUsage, subject, "no value", expectation(option));
  }
  const auto value = std::visit([&](const auto& like) { return read_as(text, like); }, type);
  if (!value) throw Error(ExitCode::kUsage, subject, text, expectation(option));
  return *value;
}

std::string to_toml_text(const Value& value) {
  return std::visit(TomlText{}, value);
}

std::string to_flag_text(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* words = std::get_if<std::vector<std::string>>(&value)) {
    return fmt::format("{}", fmt::join(*words, ", "));
  }
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    return fmt::format("{}", fmt::join(*numbers, ","));
  }
  return to_toml_text(value);
}

std::string expectation(const Option& option) {
  const Check& check = option.check;
  const Value type = get(option, Config{});
  if (std::holds_alternative<bool>(type)) return "true or false";
  if (std::holds_alternative<int64_t>(type)) return "an integer" + integer_bounds(check);
  if (std::holds_alternative<double>(type)) return "a number" + bounds(check);
  if (std::holds_alternative<std::vector<std::string>>(type)) return "a list of at least 1 string";
  if (std::holds_alternative<std::vector<double>>(type)) {
    return fmt::format("{} numbers{}", check.length, bounds(check));
  }
  return check.choices.empty() ? "a string" : join_choices(check.choices);
}

std::string join_choices(const std::vector<std::string>& choices) {
  return fmt::format("{} or {}", fmt::join(choices.begin(), choices.end() - 1, ", "),
                     choices.back());
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  constexpr size_t kLongest = 200;  // the work grows with the word, and no name comes near
  word = word.substr(0, kLongest);
  return *std::ranges::min_element(
      known, {}, [&](const std::string& candidate) { return edit_distance(word, candidate); });
}

}  // namespace cifar

// Values of options as text, and the one way a Config is changed: both sources, recipe file and
// flags, become a list of assignments, checked and applied here. Errors are ExitCode::kUsage and
// name the assignment's subject: "article.toml:3:9: train.epochs" or "--epochs".
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"

namespace cifar {

struct Assignment {
  const Option* option;
  Value value;                           // has the option's type
  std::string subject;                   // where it comes from
  std::optional<size_t> optimizer = {};  // which of the recipe's [[optimizer]]; none: [optimizer]
};

// Applies one source, in order. Optimizers that it names, one or several, replace all before. A
// batch size and a batch size per rank exclude each other: given both in one source they are an
// error, otherwise the later source drops the earlier one's.
void assign(Config& config, const std::vector<Assignment>& source);

// What a flag's text means for this option; lists are separated by commas.
Value parse_value(const Option& option, const std::string& text, const std::string& subject);

// As a flag takes it: conv 32, relu
std::string to_flag_text(const Value& value);
// As a recipe file has it: ["conv 32", "relu"]
std::string to_toml_text(const Value& value);

// "an integer from 1 to 4096": the option's type and check.
std::string expectation(const Option& option);

// "a, b or c"
std::string join_choices(const std::vector<std::string>& choices);

// The known word with the smallest edit distance to `word`.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace cifar

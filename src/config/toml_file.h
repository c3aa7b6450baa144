// A recipe file as assignments. A recipe is TOML: a table for each section, a key for each option.
// Unknown keys, wrong types and syntax errors are ExitCode::kUsage, with line and column.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/values.h"

namespace cifar {

// `name` stands for the text in messages.
std::vector<Assignment> parse_recipe(std::string_view text, const std::string& name);

std::vector<Assignment> read_recipe_file(const std::string& path);

}  // namespace cifar

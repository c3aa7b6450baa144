// The one table of options. A row says everything about an option: where it lies in a Config, its
// key in a recipe file, its flag, its help and its check. The parsers of recipe file and command
// line, the help text and the writer of config.toml all walk this table and know no option by name.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"

namespace cifar {

// Value and Field hold the same types in the same order.
using Value =
    std::variant<bool, int64_t, double, std::string, std::vector<std::string>, std::vector<double>>;
using Field = std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                           std::vector<double>*>;

// What a value must fulfil beyond its type. Bounds hold for each number of a list.
struct Check {
  // No option needs more; step and image counts made from two such numbers still fit in 64 bits.
  static constexpr double kLimit = 1e12;

  double low = -kLimit;
  double high = kLimit;
  bool low_excluded = false;
  bool high_excluded = false;
  std::vector<std::string> choices = {};  // of a string; empty: any
  // What false and true mean in a recipe, for a string that was a switch once; empty: nothing.
  std::vector<std::string> of_switch = {};
  size_t length = 0;  // of a list; 0: one or more

  bool operator()(const Value& value) const;
};

struct Option {
  std::string key;         // "train.batch_size": the section and the member of Config
  std::string flag;        // "batch-size"
  std::string value_name;  // "N"; empty for a switch
  std::string help;        // without default and choices, which help_text adds
  Field (*field)(Config&);
  Check check;

  std::string section() const { return key.substr(0, key.find('.')); }
  std::string name() const { return key.substr(key.find('.') + 1); }
  // Of a file or folder, where "~/" means the home folder.
  bool is_path() const {
    return value_name == "DIR" || value_name == "FILE" || value_name == "PATH";
  }
};

struct Section {
  std::string name;   // "train", the table of a recipe file
  std::string title;  // "Training", the heading in the help text
};

// In the order of the help text.
const std::vector<Section>& sections();
const std::vector<Option>& options();

// The value of an option; its type is the option's type, whatever the Config.
Value get(const Option& option, const Config& config);

}  // namespace cifar

// The one table of what the program can do. A row says how a verb is called, what its help says and
// which options it heeds; the parser, the help text and --help of a verb walk it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"

namespace cifar {

struct Verb {
  std::string name;
  std::string usage;    // what follows the name, flags aside: "--checkpoint PATH IMAGE..."
  std::string summary;  // a few words, for the list of all verbs
  std::string help;     // lines of at most 80 columns, for the verb's own help
  size_t arguments;     // how many words without a flag it takes at most
  std::vector<std::string> options;  // sections ("data") and keys ("run.device") that it heeds

  bool heeds(const Option& option) const;
};

const std::vector<Verb>& verbs();

// Null for a name that is none.
const Verb* find_verb(std::string_view name);

}  // namespace cifar

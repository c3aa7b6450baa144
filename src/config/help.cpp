#include <fmt/format.h>

#include <algorithm>

#include "config/load.h"
#include "config/values.h"
#include "config/verbs.h"

namespace cifar {
namespace {

constexpr size_t kWidth = 80;
constexpr size_t kColumn = 29;  // where help begins, right of the flags; a blank before it

constexpr const char* kAbout =
    R"(Trains a convolutional network on CIFAR-10, data-parallel over MPI ranks.

  mpirun -np 4 cifar-ddp                        train on four ranks
)";

constexpr const char* kFlags = R"(
Flags override the recipe file, and that the article's recipe, which is built
in; its values are the defaults, shown in brackets.

  --config FILE              recipe file (TOML): sections and keys as below, a
                             key being the flag with _ for - unless named; what
                             it leaves out is as in the article's recipe
  --help, -h                 this text; of one verb: cifar-ddp VERB --help
  --version                  versions of the program and its libraries
  --                         none of the words behind it is a flag
)";

constexpr const char* kExitCodes = R"(
Exit codes:
   0  done
   2  arguments or configuration
   3  data set, or a picture
   4  checkpoint
   5  diverged: loss or gradient not finite
   6  a peer lost or late
   7  replicas differ
  75  asked to stop; checkpoint written; start again to go on
)";

// Words filled into the help column, to the right of the flag.
std::string fill(std::string line, const std::string& words) {
  std::string text;
  line.resize(std::max(line.size(), kColumn - 1), ' ');
  for (size_t begin = 0; begin < words.size();) {
    const size_t end = std::min(words.find(' ', begin), words.size());
    if (line.size() + 1 + end - begin > kWidth) {
      text += line + "\n";
      line = std::string(kColumn - 1, ' ');
    }
    line.append(" ").append(words, begin, end - begin);
    begin = end + 1;
  }
  return text + line + "\n";
}

std::string help_of(const Option& option, const Config& defaults) {
  std::string words = option.help;
  if (!option.check.choices.empty()) words += ": " + join_choices(option.check.choices);
  std::string key = option.flag;
  std::ranges::replace(key, '-', '_');
  if (key != option.name()) words += fmt::format(" (key: {})", option.name());
  const Value value = get(option, defaults);
  const std::string text = to_flag_text(value);
  // Nothing that a user could have given: not given.
  if (!text.empty() && option.check(value)) words += fmt::format(" [{}]", text);
  return fill(fmt::format("  --{} {}", option.flag, option.value_name), words);
}

std::string call_of(const Verb& verb) {
  return fmt::format("cifar-ddp {}{}{}", verb.name, verb.usage.empty() ? "" : " ", verb.usage);
}

// Each verb on a line.
std::string all_usages() {
  std::string text = kAbout;
  for (const Verb& verb : verbs()) {
    text += fmt::format("  {:<46}{}\n", call_of(verb), verb.summary);
  }
  return text;
}

}  // namespace

std::string help_text(const std::string& name) {
  const Config defaults = article_config();
  const Verb* verb = find_verb(name);
  std::string text = verb == nullptr
                         ? all_usages()
                         : fmt::format("usage: {} [FLAGS]\n\n{}", call_of(*verb), verb->help);
  text += kFlags;
  for (const Section& section : sections()) {
    std::string flags;
    for (const Option& option : options()) {
      const bool heeded = verb == nullptr || verb->heeds(option);
      if (heeded && option.section() == section.name) flags += help_of(option, defaults);
    }
    if (!flags.empty()) text += fmt::format("\n{} [{}]\n{}", section.title, section.name, flags);
  }
  return text + kExitCodes;
}

}  // namespace cifar

#include "verbs/inspect.h"

#include <algorithm>

namespace cifar {

// A wrong layer list is refused as in training.
ExitCode inspect(const Invocation& invocation) {
  const CommandLine& line = invocation.line;
  const Config& config = line.config;
  if (!config.evaluate.checkpoint.empty()) return inspect_checkpoint(invocation);
  // CIFAR10_DIR of the environment alone does not ask for the data set.
  if (std::ranges::count(line.flags, "data") > 0 || !config.evaluate.contact_sheet.empty()) {
    return inspect_data(invocation);
  }
  if (config.evaluate.json) {
    throw Error(ExitCode::kUsage, "--json", "the table of a recipe", "--data or --checkpoint");
  }
  invocation.log.line("recipe " + config.recipe);
  std::string table = make_network(config)->table();
  table.pop_back();  // lines() ends the last
  invocation.log.lines(table);
  return ExitCode::kDone;
}

}  // namespace cifar

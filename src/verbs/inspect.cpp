#include "train/state.h"
#include "verbs/verbs.h"

namespace cifar {

// Prints the layer table of a recipe; a wrong layer list is refused as in training.
ExitCode inspect(const Invocation& invocation) {
  const Config& config = invocation.line.config;
  invocation.log.line("recipe " + config.recipe);
  std::string table = make_network(config)->table();
  table.pop_back();  // line() ends the line
  invocation.log.line(table);
  return ExitCode::kDone;
}

}  // namespace cifar

#include "verbs/inspect.h"

#include <algorithm>

#include "train/lone_values.h"
#include "verbs/setup.h"

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
  const auto network = make_network(config);
  std::string table = network->table();
  table.pop_back();  // lines() ends the last
  invocation.log.lines(table);
  TrainConfig train = config.train;
  resolve_ranks(train, invocation.world.size(), invocation.world.size());
  refuse_lone_values(*network, train, kTrainImages - config.data.validation_size);
  return ExitCode::kDone;
}

}  // namespace cifar

// Which of a recipe's optimizers updates which parameter.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "config/config.h"

namespace cifar {

struct ParameterName {
  std::string name;  // "3.weight"
  std::string kind;  // "conv.weight": the layer's first word
};

// For each parameter, the index of the optimizer that claims it: one of whose globs (`*` and `?`)
// matches its name or its kind. Error(kUsage) for a glob that matches nothing, a parameter that two
// optimizers claim, and one that none does.
std::vector<size_t> claim_parameters(const std::vector<OptimizerConfig>& optimizers,
                                     const std::vector<ParameterName>& parameters);

}  // namespace cifar

#include "optim/claims.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>

#include "base/error.h"

namespace cifar {
namespace {

constexpr const char* kKey = "optimizer.parameters";

bool matches(const std::string& glob, const ParameterName& parameter) {
  return ::fnmatch(glob.c_str(), parameter.name.c_str(), 0) == 0 ||
         ::fnmatch(glob.c_str(), parameter.kind.c_str(), 0) == 0;
}

void check_globs(const OptimizerConfig& optimizer, const std::vector<ParameterName>& parameters) {
  for (const std::string& glob : optimizer.parameters) {
    if (std::ranges::any_of(parameters, [&](const auto& it) { return matches(glob, it); }))
      continue;
    std::vector<std::string> names;
    for (const ParameterName& each : parameters) names.push_back(each.name);
    throw Error(ExitCode::kUsage, kKey, fmt::format("\"{}\" of {}", glob, optimizer.name),
                fmt::format("a pattern of trainable parameters ({}) or of kinds, as conv.weight",
                            fmt::join(names, ", ")));
  }
}

}  // namespace

std::vector<size_t> claim_parameters(const std::vector<OptimizerConfig>& optimizers,
                                     const std::vector<ParameterName>& parameters) {
  for (const OptimizerConfig& optimizer : optimizers) check_globs(optimizer, parameters);
  std::vector<size_t> claims;
  for (const ParameterName& parameter : parameters) {
    std::vector<size_t> claimants;
    for (size_t i = 0; i < optimizers.size(); ++i) {
      const auto claim = [&](const std::string& glob) { return matches(glob, parameter); };
      if (std::ranges::any_of(optimizers[i].parameters, claim)) claimants.push_back(i);
    }
    if (claimants.size() != 1) {
      throw Error(ExitCode::kUsage, fmt::format("{}: {}", kKey, parameter.name),
                  claimants.empty() ? "claimed by no optimizer"
                                    : fmt::format("claimed by optimizers {}, counted from 0",
                                                  fmt::join(claimants, " and ")),
                  "one that updates it");
    }
    claims.push_back(claimants.front());
  }
  return claims;
}

}  // namespace cifar

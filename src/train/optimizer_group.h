// A recipe's optimizers on the flat state: one of them updates all parameters, or each its own
// slice.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/range.h"
#include "config/config.h"
#include "model/network.h"
#include "optim/optimizer.h"
#include "parallel/flat_state.h"

namespace cifar {

struct OptimizerGroup {
  OptimizerConfig config;
  Range slice;                     // of the flat parameters and gradients
  std::vector<FlatEntry> entries;  // its tensors; offsets count from the slice's begin
  std::unique_ptr<Optimizer> optimizer;

  torch::Tensor slice_of(const torch::Tensor& flat) const {
    return flat.narrow(0, slice.first, slice.count);
  }
};

// For each parameter of the network the number of the group that it belongs to, for FlatState;
// frozen ones belong to none and come last. Errors as of claim_parameters.
std::vector<size_t> groups_of(const Config& config, const Network& network);

// Of a FlatState that was laid out by groups_of(). `comm`: see OptimizerSlice.
std::vector<OptimizerGroup> make_optimizer_groups(const Config& config, const Network& network,
                                                  const FlatState& flat, Communicator* comm);

// "adam", or "muon+sgd+sgd".
std::string optimizer_name(const std::vector<OptimizerGroup>& groups);

}  // namespace cifar

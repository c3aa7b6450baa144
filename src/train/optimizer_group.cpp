#include "train/optimizer_group.h"

#include <map>

#include "comm/tensor_type.h"
#include "optim/claims.h"

namespace cifar {
namespace {

std::vector<OptimizerConfig> configs_of(const Config& config) {
  return config.optimizers.empty() ? std::vector{config.optimizer} : config.optimizers;
}

}  // namespace

std::vector<size_t> groups_of(const Config& config, const Network& network) {
  std::vector<ParameterName> trainable;
  for (const auto& item : network.named_parameters()) {
    if (item.value().requires_grad()) {
      trainable.push_back({item.key(), network.kind_of(item.key())});
    }
  }
  const std::vector<OptimizerConfig> configs = configs_of(config);
  const std::vector<size_t> claims = claim_parameters(configs, trainable);
  std::vector<size_t> groups;
  auto next = claims.begin();
  for (const auto& item : network.named_parameters()) {
    groups.push_back(item.value().requires_grad() ? *next++ : configs.size());
  }
  return groups;
}

std::vector<OptimizerGroup> make_optimizer_groups(const Config& config, const Network& network,
                                                  const FlatState& flat, Communicator* comm) {
  std::map<std::string, size_t> group_of;
  const std::vector<size_t> numbers = groups_of(config, network);
  const auto parameters = network.named_parameters();
  for (size_t i = 0; i < numbers.size(); ++i) group_of[parameters[i].key()] = numbers[i];

  std::vector<OptimizerGroup> groups;
  for (const OptimizerConfig& each : configs_of(config)) groups.push_back({each, {}, {}, nullptr});
  const auto& entries = flat.parameter_entries();
  for (size_t i = 0; i < entries.size(); ++i) {
    const size_t number = group_of.at(entries[i].name);
    if (number == groups.size()) continue;  // frozen
    OptimizerGroup& group = groups[number];
    if (group.entries.empty()) group.slice.first = entries[i].offset;
    const int64_t end = i + 1 < entries.size() ? entries[i + 1].offset : flat.parameters().numel();
    group.slice.count = end - group.slice.first;
    group.entries.push_back(entries[i]);
    group.entries.back().offset -= group.slice.first;
  }
  const bool low = scalar_type_of(config.train.precision) != torch::kFloat32;
  for (OptimizerGroup& group : groups) {
    OptimizerSlice slice{
        group.slice_of(flat.parameters()), {}, low ? torch::kBFloat16 : torch::kFloat32, comm};
    for (const FlatEntry& entry : group.entries) {
      slice.tensors.push_back({entry.name, entry.offset, entry.tensor.sizes().vec()});
    }
    group.optimizer = make_optimizer(group.config, slice);
  }
  return groups;
}

std::string optimizer_name(const std::vector<OptimizerGroup>& groups) {
  std::string name;
  for (const OptimizerGroup& group : groups) name += (name.empty() ? "" : "+") + group.config.name;
  return name;
}

}  // namespace cifar

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/hash.h"
#include "verbs/inspect.h"
#include "verbs/setup.h"
#include "verbs/trained.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

struct NamedTensor {
  std::string name;
  torch::Tensor tensor;
};

// Parameters, then buffers, each in the order of the layers.
std::vector<NamedTensor> tensors_of(const Network& network) {
  std::vector<NamedTensor> tensors;
  for (const auto& item : network.named_parameters()) tensors.push_back({item.key(), item.value()});
  for (const auto& item : network.named_buffers()) tensors.push_back({item.key(), item.value()});
  return tensors;
}

struct Hashes {
  std::string file, weights;
};

Json json_of(const Trained& trained, const Hashes& hashes) {
  Json json = {{"file", trained.file}, {"hash", hashes.file}, {"weights", hashes.weights}};
  if (trained.checkpoint) {
    const Position& at = trained.checkpoint->position;
    json["step"] = at.step;
    json["epoch"] = at.epoch;
    json["step_in_epoch"] = at.step_in_epoch;
    json["optimizer"] = trained.checkpoint->optimizer;
    json["recipe"] = trained.checkpoint->recipe;
  }
  json["parameters"] = trained.network->parameter_count();
  for (const auto& [name, tensor] : tensors_of(*trained.network)) {
    json["tensors"].push_back({{"name", name}, {"shape", tensor.sizes().vec()}});
  }
  return json;
}

void print_position(const Trained& trained, const Log& log) {
  const Position& at = trained.checkpoint->position;
  std::string text =
      fmt::format("step {}, after {} of {} epochs", at.step, at.epoch, trained.config.train.epochs);
  if (at.step_in_epoch > 0) text += fmt::format(" and {} steps", at.step_in_epoch);
  log.line(text);
  std::string moments;
  for (const auto& [name, tensors] : trained.checkpoint->optimizer_state) moments += " " + name;
  log.line(fmt::format("optimizer {} after {} steps{}{}", trained.checkpoint->optimizer,
                       trained.checkpoint->optimizer_steps, moments.empty() ? "" : ", with",
                       moments));
}

void print_tensors(const Network& network, const Log& log) {
  log.line(fmt::format("{:<20}{:<20}{:>12}", "tensor", "shape", "numbers"));
  for (const auto& [name, tensor] : tensors_of(network)) {
    log.line(fmt::format("{:<20}{:<20}{:>12}", name, c10::str(tensor.sizes()),
                         fmt::group_digits(tensor.numel())));
  }
  log.line(fmt::format("{} parameters", fmt::group_digits(network.parameter_count())));
}

}  // namespace

ExitCode inspect_checkpoint(const Invocation& invocation) {
  const Trained trained = load_trained(invocation);
  const Log& log = invocation.log;
  // As training says it: over the flat state, that the network's tensors are moved into.
  const Hashes hashes{hash_of(read_file(trained.file, ExitCode::kCheckpoint)),
                      FlatState(*trained.network, torch::kCPU).hash()};
  if (trained.config.evaluate.json) {
    log.line(json_text(json_of(trained, hashes)));
    return ExitCode::kDone;
  }
  log.line(trained.file + trained.remark);
  if (trained.checkpoint) print_position(trained, log);
  print_tensors(*trained.network, log);
  log.line("hash of the file " + hashes.file);
  log.line("weights " + hashes.weights);
  if (trained.checkpoint) log.lines("\n" + trained.checkpoint->recipe);
  return ExitCode::kDone;
}

}  // namespace cifar

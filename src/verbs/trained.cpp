#include "verbs/trained.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "base/files.h"
#include "train/weights_file.h"

namespace cifar {
namespace {

Trained from_python(const Invocation& invocation, const std::string& file,
                    const std::string& bytes) {
  const Weights weights = weights_of(bytes, file);
  Trained trained{file, std::nullopt, remark_on(weights), invocation.line.config,
                  make_network(invocation.line.config)};
  restore_weights(weights.tensors, file, *trained.network);
  return trained;
}

// The recipe is the file's own: what it asks for must be in proportion.
std::shared_ptr<Network> network_of(const Config& config, const FoundCheckpoint& found) {
  std::error_code error;
  const auto bytes = std::filesystem::file_size(found.file, error);
  return make_network(config, most_weights_of(error ? 0 : bytes));
}

}  // namespace

Trained load_trained(const Invocation& invocation) {
  const std::string& where = invocation.line.config.evaluate.checkpoint;
  if (where.empty()) {
    throw Error(ExitCode::kUsage, invocation.line.verb, "no checkpoint",
                "--checkpoint FILE or run directory");
  }
  return load_trained(invocation, where);
}

Trained load_trained(const Invocation& invocation, const std::string& where) {
  std::error_code error;
  FoundCheckpoint found;
  if (std::filesystem::is_directory(where, error)) {
    found = find_checkpoint(where, invocation.log);
  } else {
    const std::string bytes = read_file(where, ExitCode::kCheckpoint);
    if (!is_checkpoint(bytes)) return from_python(invocation, where, bytes);
    found = {where, deserialize(bytes, where)};
  }
  const Config config =
      parse_command_line(invocation.argc, invocation.argv, {found.checkpoint.recipe, found.file})
          .config;
  Trained trained{found.file, std::move(found.checkpoint), "", config, network_of(config, found)};
  restore_weights(trained.checkpoint->model, trained.file, *trained.network);
  return trained;
}

std::vector<Prediction> predictions_of(const Trained& trained, const Samples& samples,
                                       const Invocation& invocation) {
  const Config& config = trained.config;
  const DeviceChoice device = choose_device(config.run.device, config.run.comm, invocation.world);
  set_threads(invocation.line.config.train, device, invocation.world);
  const auto comm = make_communicator(device.comm, invocation.world, config.run.timeout);
  const Precision precision(config.train.precision, device.device);
  precision.apply(/*deterministic=*/true);
  trained.network->to(device.device);
  Batches batches(std::make_shared<ResidentSet>(samples.images, device.device), config.augmentation,
                  false, 0);
  batches.set_order(samples.order, 0);
  return Predictor(*trained.network, batches, static_cast<int64_t>(samples.order.size()),
                   config.train.validation, precision, *comm, TestTimeAugmentation(config.train))
      .predict();
}

std::string title_of(const Trained& trained) {
  if (!trained.checkpoint) return trained.file + ": a state dict" + trained.remark;
  return fmt::format("{}: step {}", trained.file, trained.checkpoint->position.step);
}

}  // namespace cifar

#include <fmt/format.h>

#include <numeric>

#include "data/split.h"
#include "train/evaluation.h"
#include "train/run_directory.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

struct Samples {
  ImageSet images;
  std::vector<int32_t> order;
};

Samples samples_of(const Dataset& dataset, const Config& config) {
  if (config.evaluate.split == "test") {
    std::vector<int32_t> all(dataset.test.size());
    std::iota(all.begin(), all.end(), 0);
    return {dataset.test, all};
  }
  const Split split = split_train(dataset.train.size(), config.data.validation_size,
                                  static_cast<uint64_t>(config.data.split_seed));
  return {dataset.train, config.evaluate.split == "val" ? split.val : split.train};
}

}  // namespace

ExitCode evaluate(const Invocation& invocation) {
  const std::string& where = invocation.line.config.evaluate.checkpoint;
  if (where.empty()) {
    throw Error(ExitCode::kUsage, "evaluate", "no checkpoint",
                "--checkpoint FILE or run directory");
  }
  // Every rank reads it, so the file must be visible on every host.
  const FoundCheckpoint found = find_checkpoint(where, invocation.log);
  const Config config =
      parse_command_line(invocation.argc, invocation.argv, {found.checkpoint.recipe, found.file})
          .config;
  const DeviceChoice device = choose_device(config.run.device, config.run.comm, invocation.world);
  set_threads(invocation.line.config.train, device, invocation.world);
  const Samples samples = samples_of(open_dataset(config.data), config);
  const auto comm = make_communicator(device.comm, invocation.world, config.run.timeout);
  const Precision precision(config.train.precision, device.device);
  precision.apply(/*deterministic=*/true);
  const auto network = make_network(config);
  network->to(device.device);
  restore_weights(found.checkpoint, found.file, *network);

  const auto count = static_cast<int64_t>(samples.order.size());
  Batches batches(std::make_shared<ResidentSet>(samples.images, device.device), config.augmentation,
                  false, 0);
  batches.set_order(samples.order, 0);
  const auto result = evaluate(*network, batches, count, config.train.validation, precision, *comm);
  invocation.log.line(fmt::format("{}: step {}", found.file, found.checkpoint.position.step));
  invocation.log.line(fmt::format("{} loss {:.4f}, accuracy {:.4f} ({} of {} images)",
                                  config.evaluate.split, result.loss, result.accuracy(),
                                  result.correct, result.samples));
  return ExitCode::kDone;
}

}  // namespace cifar

#include <fmt/format.h>

#include "parallel/reducer.h"
#include "train/lone_values.h"
#include "train/precision.h"
#include "train/state.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

// One collective that has to give the closed form 0 + 1 + ... + (P - 1).
void check_sum(Communicator& comm, torch::Device device) {
  auto value = torch::full({1}, static_cast<double>(comm.rank()),
                           torch::TensorOptions(torch::kFloat64).device(device));
  comm.all_reduce_sum(value);
  const double sum = value.cpu().item<double>();
  const double expected = comm.size() * (comm.size() - 1) / 2.0;
  if (sum != expected) {
    throw Error(ExitCode::kPeerLost, "all-reduce over " + comm.name(), fmt::format("{}", sum),
                fmt::format("{}", expected));
  }
}

}  // namespace

// Prints what the program found on every rank, and tries what training needs; throws what training
// would throw on a set-up that cannot train.
ExitCode doctor(const Invocation& invocation) {
  const World& world = invocation.world;
  const Log& log = invocation.log;
  const Config& config = invocation.line.config;
  log.line(version_text());
  log.line(fmt::format("ranks: {}", world.size()));
  if (const std::string devices = describe_devices(); !devices.empty()) {
    log.lines(devices.substr(0, devices.size() - 1));
  } else {
    log.line(CIFAR_HAS_CUDA ? "GPUs: none visible" : "GPUs: not built in");
  }
  const DeviceChoice device = choose_device(config.run.device, config.run.comm, world);
  const int64_t threads = set_threads(config.train, device, world);
  const auto lines = world.gather(
      fmt::format("rank {} on {}: local rank {} of {}, {}, CUDA_VISIBLE_DEVICES {}, {} cores (CPUs "
                  "{}), {} threads",
                  world.rank(), world.host(), world.local_rank(), world.local_size(),
                  device.device.str(), visible_devices(), world.cores(), world.cpus(), threads));
  for (const std::string& line : lines) log.line(line);
  if (!world.quota().empty()) log.line("cores: by the CPU quota, " + world.quota());
  const auto comm = make_communicator(device.comm, world, config.run.timeout);
  check_sum(*comm, device.device);
  log.line(fmt::format("communication: {}, all-reduce over {} ranks is right", comm->name(),
                       comm->size()));
  if (config.data.path.empty()) {
    log.line("data set: none named (--data DIR or CIFAR10_DIR)");
  } else {
    const Dataset dataset = open_dataset(config.data);
    log.line(fmt::format("data set: {}, {} + {} images", dataset.name, dataset.train.size(),
                         dataset.test.size()));
  }
  const Precision precision(config.train.precision, device.device);
  const TrainState state(config, device.device);
  TrainConfig train = config.train;
  resolve_ranks(train, comm->size(), comm->size());
  refuse_lone_values(*state.network, train, kTrainImages - config.data.validation_size);
  choose_buckets(train, *comm, state.flat);
  log.line("reduction: " + make_reducer(train, *comm, state.flat)->text());
  log.line(config.data.path.empty() ? "ready to train, once a data set is named"
                                    : "ready to train");
  return ExitCode::kDone;
}

}  // namespace cifar

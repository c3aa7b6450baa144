// Trains a recipe again and again with seeds in a row, in one process. As those who hold the
// records time it: whitening, training with its augmentation and the last evaluation count; loading
// the data, a warm-up and the drawing of initial weights do not.
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "base/files.h"
#include "report/repeats.h"
#include "train/trainer.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

// So many that on a GPU steps of a whole batch, and what the test does, have been captured and
// replayed (not so a last short batch, nor validation, of recipes that have them); a CPU has
// nothing to warm up but pages.
int64_t warm_ups(torch::Device device) {
  return device.is_cuda() ? Replay::kWarmUps + 2 : 1;
}

// Everything that the trainings share. The trainer keeps what it has learned of the device (graphs,
// choices of kernels, buffers) from one to the next.
class Repeater {
 public:
  Repeater(const Invocation& invocation, const Config& config, const DeviceChoice& device)
      : config_(config),
        dataset_(open_dataset(config.data)),
        comm_(make_communicator(device.comm, invocation.world, config.run.timeout)),
        state_(config_, device.device, comm_.get()),
        trainer_(with_buckets(), dataset_, state_, *comm_, invocation.signals, quiet_) {}

  void warm_up(int64_t times) {
    begin();
    config_.run.max_steps = times;
    initialise();
    trainer_.run(nullptr, /*checkpoints=*/false);
    for (int64_t i = 0; i < times; ++i) trainer_.test();
    config_.run.max_steps = 0;
  }

  // kStopped when a rank was asked to stop: then there is no result.
  ExitCode train(int64_t seed, Repeat& result) {
    config_.train.seed = seed;
    begin();
    comm_->barrier();
    const auto start = std::chrono::steady_clock::now();
    initialise();
    const ExitCode code = trainer_.run(nullptr, /*checkpoints=*/false);
    comm_->barrier();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (code != ExitCode::kDone) return code;
    const EvaluationResult test = summary_of(trainer_.test_predictions());
    result = {seed, test.accuracy(), test.loss, elapsed.count()};
    return code;
  }

  RepeatedRecipe facts(const Invocation& invocation, const DeviceChoice& device) const {
    RepeatedRecipe facts;
    facts.name = config_.recipe;
    facts.config = to_toml(config_);
    facts.data = dataset_.name;
    facts.commit = config_.evaluate.commit;
    facts.version = version_text();
    facts.hardware = hardware_of(device);
    facts.host = invocation.world.host();
    facts.ranks = comm_->size();
    facts.threads = config_.train.threads;
    facts.images = trainer_.plan().total_samples();
    facts.flops = 6.0 * static_cast<double>(state_.network->multiply_adds()) *
                  static_cast<double>(facts.images);
    facts.target = config_.evaluate.target;
    return facts;
  }

 private:
  const Config& with_buckets() {
    choose_buckets(config_.train, *comm_, state_.flat);
    return config_;
  }

  void begin() { state_.begin_anew(config_); }

  void initialise() {
    if (comm_->rank() == 0) trainer_.initialise_from_data();
    broadcast(state_, *comm_);
  }

  Config config_;
  Log quiet_{-1};  // of no rank
  Dataset dataset_;
  std::unique_ptr<Communicator> comm_;
  TrainState state_;
  Trainer trainer_;
};

// What train does and this does not, and what would only show after hours.
void check(const Config& config, const std::string& output) {
  if (!config.train.init_from.empty()) {
    throw Error(ExitCode::kUsage, "--init-from " + config.train.init_from, "given to repeat",
                "weights that each training draws by its seed");
  }
  if (!std::ofstream(output, std::ios::app)) {
    throw Error(ExitCode::kUsage, output, std::strerror(errno), "a file for the results");
  }
}

// Each write has all results so far: one that fails is mended by the next, and ends no training.
class ResultsFile {
 public:
  ResultsFile(std::string path, const Log& log) : path_(std::move(path)), log_(log) {}

  void write(const std::string& text) try {
    write_file(path_, text, ExitCode::kCheckpoint);
    failure_.reset();
  } catch (const Error& error) {
    if (!failure_)
      log_.warning(std::string(error.what()) + "; tried again after the next training");
    failure_ = error;
  }
  // Throws what the last write met.
  void finish() const {
    if (failure_) throw *failure_;
  }

 private:
  std::string path_;
  const Log& log_;
  std::optional<Error> failure_;
};

}  // namespace

ExitCode repeat(const Invocation& invocation) {
  const Log& log = invocation.log;
  Config config = invocation.line.config;
  resolve_ranks(config.train, invocation.world.size(), invocation.world.size());
  const DeviceChoice device = choose_device(config.run.device, config.run.comm, invocation.world);
  config.train.threads = set_threads(config.train, device, invocation.world);
  const std::string output =
      config.evaluate.output.empty() ? "repeat-" + config.recipe + ".json" : config.evaluate.output;
  config.run.max_steps = config.run.profile = config.run.check_replicas_every = 0;
  if (invocation.world.rank() == 0) check(config, output);
  Repeater repeater(invocation, config, device);
  const RepeatedRecipe facts = repeater.facts(invocation, device);
  log.line(fmt::format("recipe {} on {}, {} times from seed {}; warm-up", config.recipe, facts.data,
                       config.evaluate.runs, config.train.seed));
  invocation.signals.hold();
  repeater.warm_up(warm_ups(device.device));

  std::vector<Repeat> repeats;
  ResultsFile results(output, log);
  for (int64_t i = 0; i < config.evaluate.runs; ++i) {
    Repeat result;
    const ExitCode code = repeater.train(config.train.seed + i, result);
    if (code != ExitCode::kDone) {
      log.line(fmt::format("stopped after {} of {} trainings", i, config.evaluate.runs));
      if (i > 0) log.line(summary_of(facts, repeats));
      results.finish();
      return code;
    }
    repeats.push_back(result);
    log.line(fmt::format("run {}/{}  seed {}  test accuracy {:.4f}  {:.2f} s", i + 1,
                         config.evaluate.runs, result.seed, result.accuracy, result.seconds));
    // After each, so that a run that fails takes none before it along.
    if (invocation.world.rank() == 0) {
      results.write(json_of(facts, repeats).dump(2) + "\n");
    }
  }
  log.line(summary_of(facts, repeats));
  results.finish();
  log.line(output);
  return ExitCode::kDone;
}

}  // namespace cifar

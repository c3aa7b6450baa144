#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <optional>

#include "base/files.h"
#include "train/data_check.h"
#include "train/trainer.h"
#include "train/weights_file.h"
#include "verbs/lock_run.h"
#include "verbs/report.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

// The checkpoint that --resume names; rank 0 alone looks. "auto" looks into --run-dir and finds
// nothing on the first start.
std::optional<FoundCheckpoint> checkpoint_to_resume(const RunConfig& run, const Log& log) {
  if (run.resume.empty()) return std::nullopt;
  if (run.resume != "auto") return find_checkpoint(run.resume, log);
  if (run.directory.empty()) {
    throw Error(ExitCode::kUsage, "--resume auto", "no --run-dir", "--run-dir DIR to look into");
  }
  return newest_checkpoint(run.directory, log);
}

// In the middle of an epoch the rest of it must be what it would have been.
void refuse_another_epoch(const Config& before, const Config& now, const FoundCheckpoint& found) {
  if (found.checkpoint.position.step_in_epoch == 0) return;
  const auto refuse = [&](const char* what, int64_t was, int64_t is) {
    if (was == is) return;
    throw Error(ExitCode::kUsage, fmt::format("--resume {}", found.file),
                fmt::format("{} {} in the middle of an epoch", what, is),
                fmt::format("the run's own, {}, or a checkpoint at the end of an epoch", was));
  };
  refuse("batch size", before.train.batch_size, now.train.batch_size);
  refuse("drop_last", before.train.drop_last, now.train.drop_last);
  refuse("seed", before.train.seed, now.train.seed);
  refuse("split seed", before.data.split_seed, now.data.split_seed);
  refuse("validation size", before.data.validation_size, now.data.validation_size);
}

// The same command may be given again to go on, as launch/local --restarts does.
void refuse_other_beginning(const Config& before, const Config& now, const std::string& file) {
  const auto text = [](const std::string& init) { return init.empty() ? "none" : init; };
  if (now.train.init_from == before.train.init_from) return;
  throw Error(ExitCode::kUsage, "--init-from " + now.train.init_from,
              "the run that goes on from " + file + " has begun already",
              "the weights it began with (" + text(before.train.init_from) + "), or a new run");
}

// Rank 0 reads the checkpoint and hands its recipe to all, over which the flags are laid again.
Config resolve(const Invocation& invocation, const std::optional<FoundCheckpoint>& found) {
  BaseRecipe base;
  if (found) base = {found->checkpoint.recipe, found->file};
  base.text = broadcast_text(base.text, invocation.world, invocation.line.config.run.timeout);
  base.name = found ? found->file : "the checkpoint's recipe";
  Config config = parse_command_line(invocation.argc, invocation.argv, base).config;
  const Config before = parse_command_line(1, invocation.argv, base).config;
  const bool goes_on = !base.text.empty();
  resolve_ranks(config.train, invocation.world.size(),
                goes_on ? before.train.shards : invocation.world.size());
  if (found) {
    refuse_another_epoch(before, config, *found);
    refuse_other_beginning(before, config, found->file);
  }
  if (found && config.run.directory.empty()) config.run.directory = directory_of(found->file);
  return config;
}

void announce(const Config& config, const TrainState& state, const Dataset& dataset,
              const std::string& reduction, const DeviceChoice& device, const Communicator& comm,
              const Log& log) {
  if (dataset.synthetic)
    log.line("SYNTHETIC DATA: made-up images, not CIFAR-10 (--data synthetic)");
  const TrainConfig& train = config.train;
  const std::string& precision = train.reduction_precision;
  log.line(fmt::format(
      "recipe {} on {}: {} epochs, batch {} in {} shard{} ({}{}), {}, learning rate {}, seed {}",
      config.recipe, dataset.name, train.epochs, train.batch_size, train.shards,
      train.shards == 1 ? "" : "s", reduction, precision == "fp32" ? "" : " in " + precision,
      optimizer_name(state.groups), state.groups.front().config.learning_rate, train.seed));
  log.line(fmt::format("{} rank{} ({}) on {}, {}, {} thread{} a rank", comm.size(),
                       comm.size() == 1 ? "" : "s", comm.name(), device.device.str(),
                       config.train.precision, train.threads, train.threads == 1 ? "" : "s"));
}

RunFacts facts_of(const Config& config, const Dataset& dataset, const DeviceChoice& device,
                  const World& world) {
  RunFacts facts;
  facts.recipe = config.recipe;
  facts.host = world.host();
  facts.hardware = hardware_of(device);
  facts.device = device.device.is_cuda() ? "cuda" : "cpu";
  facts.ranks = world.size();
  facts.threads = config.train.threads;
  describe_data(dataset,
                split_train(dataset.train.size(), config.data.validation_size,
                            static_cast<uint64_t>(config.data.split_seed)),
                facts);
  facts.data_history = {{0, facts.data, facts.data_hash}};
  return facts;
}

// Whatever rank 0 finds and writes is of the images of all.
void refuse_other_images_of_a_rank(const RunFacts& facts, const World& world) {
  const auto hashes = world.gather(facts.data_hash);
  for (size_t rank = 1; rank < hashes.size(); ++rank) {
    if (hashes[rank] == hashes[0]) continue;
    throw Error(ExitCode::kData,
                fmt::format("data set of rank {} on {}", rank, world.hosts()[rank]),
                "other images, hash " + hashes[rank], "those of rank 0, hash " + hashes[0]);
  }
}

// Rank 0 prepares the run directory; the others have none. A run that is there already is gone on
// with, never written over: --resume FILE into the directory of another run is refused. Without
// `lock` there was no such folder when rank 0 looked for a checkpoint, so that what is there now is
// another's.
std::unique_ptr<RunDirectory> open_directory(const Config& config, const Communicator& comm,
                                             const std::optional<FoundCheckpoint>& found,
                                             std::shared_ptr<RunLock> lock, const Log& log) {
  if (comm.rank() != 0) return nullptr;
  const std::string& path = config.run.directory;
  const bool in_place = lock && (config.run.resume == "auto" ||
                                 (found && directory_of(found->file) == absolute_path(path)));
  if (!lock && !path.empty()) lock = lock_new_run(path, log);
  auto directory = std::make_unique<RunDirectory>(path, config.recipe, in_place, config.run.keep);
  directory->write_under(lock ? lock : lock_new_run(directory->path(), log));
  const Position at = found ? found->checkpoint.position : Position{};
  directory->set_later_checkpoints_aside(at.step);
  directory->write_config(to_toml(config));
  directory->rewind_metrics(at.epoch);
  log.line("run directory " + directory->path());
  return directory;
}

// What rank 0 hands to the others: the state of a checkpoint, or weights to begin with. Returns a
// line on where it comes from; empty: from nowhere.
std::string fill(TrainState& state, const TrainConfig& config,
                 const std::optional<FoundCheckpoint>& found) {
  if (found) {
    restore(found->checkpoint, found->file, state);
    return fmt::format("resumed at step {}", state.position.step);
  }
  const std::string& file = config.init_from;
  if (file.empty()) return "";
  const Weights weights = weights_of(read_file(file, ExitCode::kCheckpoint), file);
  restore_weights(weights.tensors, file, *state.network);
  return "weights to begin with from " + file + remark_on(weights);
}

}  // namespace

ExitCode train(const Invocation& invocation) {
  const World& world = invocation.world;
  const Log& log = invocation.log;
  std::shared_ptr<RunLock> lock = lock_run(invocation);
  std::optional<FoundCheckpoint> found;
  if (world.rank() == 0) found = checkpoint_to_resume(invocation.line.config.run, log);
  Config config = resolve(invocation, found);

  const DeviceChoice device = choose_device(config.run.device, config.run.comm, world);
  config.train.threads = set_threads(config.train, device, world);  // a resume keeps the number
  const Dataset dataset = open_dataset(config.data);
  RunFacts facts = facts_of(config, dataset, device, world);
  refuse_other_images_of_a_rank(facts, world);
  if (found) continue_data_history(*found, dataset, facts, log);
  const auto comm = make_communicator(device.comm, world, config.run.timeout);
  TrainState state(config, device.device, comm.get());
  state.data_hash = facts.data_hash;
  choose_buckets(config.train, *comm, state.flat);  // a resume keeps the size
  std::string origin;                               // of its weights, for people
  if (world.rank() == 0) origin = fill(state, config.train, found);

  // Outlives the trainer, which on an error may still be writing a checkpoint into it.
  std::unique_ptr<RunDirectory> directory;
  Trainer trainer(config, dataset, state, *comm, invocation.signals, log);
  if (!found && world.rank() == 0 && config.train.init_from.empty()) trainer.initialise_from_data();
  broadcast(state, *comm);
  announce(config, state, dataset, trainer.reduction(), device, *comm, log);
  directory = open_directory(config, *comm, found, std::move(lock), log);
  if (directory) directory->write_facts(facts);
  if (!origin.empty()) log.line(origin);

  invocation.signals.hold();
  const ExitCode code = trainer.run(directory.get());
  if (code == ExitCode::kStopped) {
    log.line(fmt::format("stopped at step {}; go on with --run-dir {} --resume auto",
                         state.position.step, directory ? directory->path() : ""));
  }
  const bool reported =
      !directory ||
      report_after_training(directory->path(), trainer.test_predictions(), dataset.test);
  // Who reads the last line may start again at once.
  if (directory) directory->write_under(nullptr);
  comm->barrier();  // rank 0 may still be writing: nobody leaves before it is done
  log.line("weights " + state.flat.hash());
  return code == ExitCode::kDone && !reported ? ExitCode::kCheckpoint : code;
}

}  // namespace cifar

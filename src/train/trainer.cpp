#include "train/trainer.h"

#include <fmt/format.h>

#include <numeric>

#include "config/load.h"
#include "data/sampler.h"
#include "train/lone_values.h"
#include "train/whitening.h"

namespace cifar {
namespace {

// On a GPU the host runs ahead; it looks at the sums, and so waits, once in so many steps.
constexpr int64_t kDeviceReadInterval = 50;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<int32_t> all_samples(int64_t count) {
  std::vector<int32_t> samples(count);
  std::iota(samples.begin(), samples.end(), 0);
  return samples;
}

}  // namespace

Trainer::Trainer(const Config& config, const Dataset& dataset, TrainState& state,
                 Communicator& comm, const Signals& signals, const Log& log)
    : config_(config),
      state_(state),
      comm_(comm),
      signals_(signals),
      log_(log),
      split_(split_train(dataset.train.size(), config.data.validation_size,
                         static_cast<uint64_t>(config.data.split_seed))),
      plan_(config, static_cast<int64_t>(split_.train.size()), state.groups),
      precision_(config.train.precision, state.flat.parameters().device()),
      train_set_(std::make_shared<ResidentSet>(dataset.train, state.flat.parameters().device())),
      train_batches_(train_set_, config.augmentation, true,
                     static_cast<uint64_t>(config.train.seed)),
      val_batches_(train_set_, config.augmentation, false, 0),
      test_batches_(std::make_shared<ResidentSet>(dataset.test, state.flat.parameters().device()),
                    config.augmentation, false, 0),
      timer_(state.flat.parameters().device()),
      profiler_(comm.rank() == 0 ? config.run.profile : 0, state.flat.parameters().device()),
      meter_(state.flat),
      step_(config.train, state, train_batches_, comm, timer_, meter_, plan_.steps_per_epoch(),
            config.run.cuda_graphs),
      validation_(*state.network, val_batches_, static_cast<int64_t>(split_.val.size()),
                  config.train.validation, precision_, comm, {}, config.run.cuda_graphs),
      test_(*state.network, test_batches_, dataset.test.size(), config.train.validation, precision_,
            comm, TestTimeAugmentation(config.train), config.run.cuda_graphs),
      progress_(plan_.total_steps(), comm.rank() == 0 && on_terminal()) {
  refuse_lone_values(*state.network, config.train, static_cast<int64_t>(split_.train.size()));
  precision_.apply(config.train.reduction == "ordered");
  val_batches_.set_order(split_.val, 0);
  test_batches_.set_order(all_samples(dataset.test.size()), 0);
#if CIFAR_FAULTS
  faults_.emplace(config.run.fault, static_cast<uint64_t>(config.train.seed),
                  config.run.max_steps > 0 ? config.run.max_steps : plan_.total_steps(),
                  comm.rank(), comm.size());
#endif
}

void Trainer::initialise_from_data() {
  whiten(*state_.network, train_set_, split_.train, config_.augmentation);
}

ExitCode Trainer::run(const RunDirectory* directory, bool checkpoints) {
  directory_ = directory;
  checkpoints_ = checkpoints;
  if (directory != nullptr) {
    writer_.emplace(*directory);
    metrics_.emplace(*directory, log_);
  }
  last_checkpoint_ = Clock::now();
  const ExitCode code = train_epochs();
  tell_checkpoint(/*wait=*/true);
  if (metrics_) metrics_->finish();
  if (profiler_.pending()) log_.warning("no profile: the run ended before its steps");
  return code;
}

ExitCode Trainer::train_epochs() {
  while (state_.position.epoch < config_.train.epochs) {
    if (limit_reached()) return ExitCode::kDone;
    const Outcome outcome = train_epoch();
    if (outcome == Outcome::kEpochDone) {
      finish_epoch();
      continue;
    }
    break_off_epoch();
    return outcome == Outcome::kStopped ? ExitCode::kStopped : ExitCode::kDone;
  }
  test();
  return ExitCode::kDone;
}

Trainer::Outcome Trainer::train_epoch() {
  Position& at = state_.position;
  train_batches_.set_order(
      epoch_order(split_.train, static_cast<uint64_t>(config_.train.seed), at.epoch), at.epoch);
  step_.plan(plan_.rest_of_epoch(at));
  epoch_samples_ = 0;
  epoch_start_ = Clock::now();
  while (at.step_in_epoch < plan_.steps_per_epoch()) {
    const Wishes wishes = run_step();
    if (wishes.stop) return Outcome::kStopped;
    if (at.step_in_epoch == plan_.steps_per_epoch()) break;
    if (limit_reached()) return Outcome::kLimitReached;
    if (wishes.checkpoint || checkpoint_due()) {
      write_checkpoint();
    } else {
      check_replicas_when_due();
    }
  }
  return Outcome::kEpochDone;
}

// By this run, or already by the one that it goes on from.
bool Trainer::limit_reached() const {
  return config_.run.max_steps > 0 && state_.position.step >= config_.run.max_steps;
}

bool Trainer::checkpoint_due() const {
  const int64_t every = config_.run.checkpoint_every;
  return every > 0 && state_.position.step % every == 0;
}

// Whether the sums on the device are to be read after this step, the same on all ranks: always on
// the CPU; on a GPU, where that waits, once in a while and whenever the numbers are needed.
bool Trainer::read_due() const {
  const Position& at = state_.position;
  return state_.flat.parameters().is_cpu() || at.step % kDeviceReadInterval == 0 ||
         at.step_in_epoch == plan_.steps_per_epoch() || limit_reached() || checkpoint_due();
}

void Trainer::log_profile() {
  const std::string file = directory_ ? directory_->path() + "/trace.json" : "";
  const std::string table = profiler_.step_ended(file);
  if (table.empty()) return;
  progress_.clear();
  log_.line(fmt::format("{} steps of rank 0; {}", config_.run.profile, file));
  log_.lines(table);
}

// What the ranks wish to do after the step: all see it at the same step.
Wishes Trainer::run_step() {
  Position& at = state_.position;
  const Range range = plan_.samples_of_step(at.step_in_epoch);
  comm_.set_step(at.step + 1);
#if CIFAR_FAULTS
  faults_->before_step(at.step + 1, state_.flat);
#endif
  profiler_.step_begins();
  step_.run({signals_.stop_requested(), checkpoint_time()});
  log_profile();
  ++at.step;
  ++at.step_in_epoch;
  at.samples += range.count;
  epoch_samples_ += range.count;
  if (!read_due()) return {};
  const Wishes wishes = read_meter();
  tell_checkpoint(/*wait=*/false);
  progress_.show(at.step, at.epoch + 1, at.loss_sum / static_cast<double>(at.samples), range.count);
  return wishes;
}

// A loss that is not finite may come of one rank's damaged weights: then that is the news.
Wishes Trainer::read_meter() {
  try {
    return meter_.read(state_.position);
  } catch (const Error&) {
    check_replicas(replica_tensors(state_), comm_);
    throw;
  }
}

void Trainer::finish_epoch() {
  Position& at = state_.position;
  EpochRecord epoch = trained_part();
  const auto start = Clock::now();
  if (!split_.val.empty()) epoch.val = summary_of(validation_.predict());
  epoch.validation_seconds = seconds_since(start);
  epoch.whole = true;
  report(epoch);
  at = {at.epoch + 1, 0, at.step, 0, 0, 0};
  write_checkpoint();
}

void Trainer::break_off_epoch() {
  report(trained_part());
  write_checkpoint();
}

// The epoch as far as it was trained.
EpochRecord Trainer::trained_part() {
  EpochRecord epoch;
  epoch.phases = timer_.take();  // waits for the device
  epoch.train_seconds = seconds_since(epoch_start_);
  epoch.epochs = config_.train.epochs;
  epoch.position = state_.position;
  epoch.timed_samples = epoch_samples_;
  epoch.learning_rate = plan_.learning_rates(state_.position.step - 1).front();
  epoch.checkpoint_seconds = std::exchange(checkpoint_seconds_, 0);
  return epoch;
}

void Trainer::report(const EpochRecord& epoch) {
  progress_.clear();
  log_.line(epoch.text());
  record(epoch.json());
}

void Trainer::test() {
  const TestTimeAugmentation tta(config_.train);
  test_predictions_ = test_.predict();
  const EvaluationResult result = summary_of(test_predictions_);
  log_.line(fmt::format("test loss {:.4f}, accuracy {:.4f} ({} of {} images){}", result.loss,
                        result.accuracy(), result.correct, result.samples, tta.text()));
  record(test_json(state_.position, result, tta));
}

// By the clock of rank 0, which tells the others.
bool Trainer::checkpoint_time() const {
  const double minutes = config_.run.checkpoint_minutes;
  return directory_ != nullptr && minutes > 0 && seconds_since(last_checkpoint_) >= minutes * 60;
}

void Trainer::check_replicas_when_due() {
  const int64_t every = config_.run.check_replicas_every;
  if (every > 0 && state_.position.step % every == 0) {
    check_replicas(replica_tensors(state_), comm_);
  }
}

void Trainer::write_checkpoint() {
  if (!checkpoints_) return;
  const auto start = Clock::now();
  check_replicas(replica_tensors(state_), comm_);
  if (directory_ == nullptr) return;
  tell_checkpoint(/*wait=*/true);
  writer_->submit(take_checkpoint(state_, to_toml(config_)));
  checkpoint_line_ =
      fmt::format("checkpoint step {}  weights {}", state_.position.step, state_.flat.hash());
  last_checkpoint_ = Clock::now();
  checkpoint_seconds_ += seconds_since(start);
}

// Tells of the newest checkpoint once it is on the disk, and throws what writing it met.
void Trainer::tell_checkpoint(bool wait) {
  if (checkpoint_line_.empty() || !(wait || writer_->ready())) return;
  writer_->finish();
  progress_.clear();
  log_.line(std::exchange(checkpoint_line_, {}));
}

void Trainer::record(const std::string& json) {
  if (metrics_) metrics_->append(json);
}

}  // namespace cifar

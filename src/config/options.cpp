#include "config/options.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace cifar {
namespace {

// Far beyond any batch of the 50,000 images. Recipes come out of checkpoints, too, which others may
// have made: what costs memory or time has an upper bound.
constexpr double kMostImages = 1000000;

Check any() {
  return {};
}

Check at_least(double low) {
  return {.low = low};
}

Check above(double low) {
  return {.low = low, .low_excluded = true};
}

Check range(double low, double high) {
  return {.low = low, .high = high};
}

Check from_and_below(double low, double high) {
  return {.low = low, .high = high, .high_excluded = true};
}

Check one_of(std::vector<std::string> choices) {
  return {.choices = std::move(choices)};
}

// For a choice that was a switch in recipes of earlier versions, which checkpoints hold.
Check was_switch(std::string when_false, std::string when_true, Check check) {
  check.of_switch = {std::move(when_false), std::move(when_true)};
  return check;
}

Check three(Check each) {
  each.length = 3;
  return each;
}

// The key of an option is the path of its member. Variadic, since a check may hold a braced list.
// clang-format off
#define OPTION(member, flag, value_name, help, ...) \
  { #member, flag, value_name, help, \
    [](Config& config) -> Field { return &config.member; }, __VA_ARGS__ }
// clang-format on

std::vector<Option> make_options() {
  return {
      OPTION(data.path, "data", "DIR",
             "folder of CIFAR-10's binary files (or its parent), or synthetic; default: "
             "CIFAR10_DIR of the environment",
             any()),
      OPTION(data.split_seed, "split-seed", "N", "permutation that splits train from val",
             at_least(0)),
      OPTION(data.validation_size, "validation-size", "N", "images held out of the 50,000",
             range(0, 49999)),
      OPTION(model.layers, "layers", "LIST", "the network, layer by layer", any()),
      OPTION(augmentation.flip, "flip", "HOW",
             "mirror half of the images: random, each epoch anew; alternating, the other half in "
             "the next epoch",
             was_switch("none", "random", one_of({"none", "random", "alternating"}))),
      OPTION(augmentation.crop_padding, "crop-padding", "PIXELS",
             "pad with so many pixels, crop 32x32 at random", range(0, 32)),
      OPTION(augmentation.padding_mode, "padding-mode", "HOW",
             "black, or reflect the image at its edges", one_of({"black", "reflect"})),
      OPTION(augmentation.cutout, "cutout", "PIXELS",
             "side of a square of the image that is set to the mean colour; 0: none", range(0, 32)),
      OPTION(augmentation.brightness, "brightness", "X",
             "add up to X, more or less, to an image's normalised values", at_least(0)),
      OPTION(augmentation.contrast, "contrast", "X",
             "then multiply them by 1, up to X more or less", range(0, 1)),
      OPTION(augmentation.mean, "mean", "R,G,B", "subtracted from pixels, which are 0 to 1",
             three(range(0, 1))),
      OPTION(augmentation.std, "std", "R,G,B", "divides what mean left", three(above(0))),
      OPTION(optimizer.name, "optimizer", "NAME", "update rule",
             one_of({"adam", "adamw", "sgd", "muon"})),
      OPTION(optimizer.parameters, "parameters", "GLOBS",
             "those that it updates: names (3.weight) or kinds (conv.weight)", any()),
      OPTION(optimizer.learning_rate, "learning-rate", "X", "before scaling and schedule",
             above(0)),
      OPTION(optimizer.until_epoch, "until-epoch", "X",
             "end of its schedule, with no updates from then on; 0: the end of the run",
             at_least(0)),
      OPTION(optimizer.weight_decay, "weight-decay", "X", "L2; decoupled with adamw; not with muon",
             at_least(0)),
      OPTION(optimizer.beta1, "beta1", "X", "adam: decay of the mean", from_and_below(0, 1)),
      OPTION(optimizer.beta2, "beta2", "X", "adam: decay of the mean square", from_and_below(0, 1)),
      OPTION(optimizer.epsilon, "epsilon", "X", "adam: added to the root", above(0)),
      OPTION(optimizer.momentum, "momentum", "X", "sgd, muon: momentum", from_and_below(0, 1)),
      OPTION(optimizer.nesterov, "nesterov", "", "sgd, muon: Nesterov's momentum", any()),
      OPTION(optimizer.newton_schulz_steps, "newton-schulz-steps", "N",
             "muon: iterations that make an update orthogonal", range(1, 100)),
      OPTION(
          optimizer.newton_schulz, "newton-schulz", "HOW",
          "muon: products of matrices of one shape together, of all together, padded with zeros, "
          "or divided over the ranks",
          one_of({"by-shape", "padded", "divided"})),
      OPTION(optimizer.normalise_every, "normalise-every", "STEPS",
             "muon: between scalings of each weight to norm sqrt(outputs); 0: none", at_least(0)),
      OPTION(optimizer.scale_learning_rate, "scale-learning-rate", "RULE",
             "with the global batch / reference-batch-size", one_of({"none", "linear", "sqrt"})),
      OPTION(optimizer.reference_batch_size, "reference-batch-size", "N",
             "batch that learning-rate is meant for", range(1, kMostImages)),
      OPTION(schedule.name, "schedule", "NAME", "course of the learning rate",
             one_of({"constant", "step", "linear", "cosine", "one-cycle"})),
      OPTION(schedule.warmup_epochs, "warmup-epochs", "X", "linear rise from 0", at_least(0)),
      OPTION(schedule.step_epochs, "step-epochs", "X", "step: epochs between two cuts", above(0)),
      OPTION(schedule.step_factor, "step-factor", "X", "step: factor of each cut", above(0)),
      OPTION(schedule.final_factor, "final-factor", "X",
             "linear, cosine, one-cycle: last rate / learning-rate", range(0, 1)),
      OPTION(schedule.one_cycle_start_factor, "one-cycle-start-factor", "X",
             "one-cycle: first rate / learning-rate", range(0, 1)),
      OPTION(schedule.one_cycle_peak, "one-cycle-peak", "X",
             "one-cycle: where the rate peaks, as a fraction of all steps", range(0, 1)),
      OPTION(train.epochs, "epochs", "N", "passes over the train split", range(1, 1000000)),
      OPTION(train.batch_size, "batch-size", "N", "images a step, over all ranks",
             range(1, kMostImages)),
      OPTION(train.batch_size_per_rank, "batch-size-per-rank", "N",
             "images a step on each rank, instead of batch-size", range(1, kMostImages)),
      OPTION(train.drop_last, "drop-last", "", "leave out an epoch's last batch when it is short",
             any()),
      OPTION(train.seed, "seed", "N", "of initial weights, shuffling, augmentation, dropout",
             at_least(0)),
      OPTION(train.shards, "shards", "S", "slices of the batch; 0: one a rank", range(0, 4096)),
      OPTION(train.reduction, "reduction", "HOW",
             "ordered: the same bits on any number of ranks; overlapped: with backward",
             one_of({"ordered", "overlapped"})),
      OPTION(train.reduction_precision, "reduction-precision", "P",
             "of gradients on their way between ranks; other precisions than fp32 round each sum",
             one_of({"fp32", "bf16", "fp16"})),
      OPTION(train.bucket_kib, "bucket-kib", "KIB",
             "overlapped: gradients that are summed at once; 0: what is measured to suit",
             range(0, 1 << 24)),
      OPTION(train.threads, "threads", "N", "a rank; 0: its share of the cores", range(0, 1024)),
      OPTION(train.precision, "precision", "P", "arithmetic",
             one_of({"fp32", "tf32", "bf16", "fp16"})),
      OPTION(train.kernels, "kernels", "WHOSE",
             "convolutions on the CPU: the faster, or LibTorch's", one_of({"auto", "libtorch"})),
      OPTION(train.label_smoothing, "label-smoothing", "X",
             "share of the target that all classes get alike; of the train loss",
             from_and_below(0, 1)),
      OPTION(train.loss_reduction, "loss-reduction", "HOW",
             "gradient of the batch's mean loss, or of its sum", one_of({"mean", "sum"})),
      OPTION(train.validation, "validation", "WHO", "all ranks or one",
             one_of({"rank0", "sharded"})),
      OPTION(train.tta, "tta", "VIEWS",
             "test-time augmentation: average the logits over mirrored, or shifted and mirrored, "
             "images; the test split and evaluate",
             one_of({"none", "mirror", "shift"})),
      OPTION(train.tta_uncertain, "tta-uncertain", "X",
             "the share of the images, those with the lowest probabilities, that tta is for",
             range(0, 1)),
      OPTION(train.init_from, "init-from", "FILE",
             "begin with the weights of a checkpoint or of a state dict that torch.save wrote",
             any()),
      OPTION(run.directory, "run-dir", "DIR",
             "for what the run writes; default: runs/NAME-DATE-TIME", any()),
      OPTION(run.resume, "resume", "PATH", "checkpoint or run directory to go on from, or auto",
             any()),
      OPTION(run.max_steps, "max-steps", "N", "stop after so many steps; 0: no limit", at_least(0)),
      OPTION(run.checkpoint_every, "checkpoint-every", "STEPS",
             "between checkpoints; 0: at each epoch's end only", at_least(0)),
      OPTION(run.checkpoint_minutes, "checkpoint-minutes", "M",
             "between checkpoints, by the clock; 0: at each epoch's end only", at_least(0)),
      OPTION(run.check_replicas_every, "check-replicas-every", "STEPS",
             "between comparisons of all ranks' weights; 0: before each checkpoint only",
             at_least(0)),
      OPTION(run.keep, "keep", "K", "checkpoints kept; 0: all", at_least(0)),
      OPTION(run.device, "device", "DEVICE", "where to compute", one_of({"auto", "cpu", "cuda"})),
      OPTION(run.comm, "comm", "BODY", "what carries the gradients",
             one_of({"auto", "self", "mpi", "nccl"})),
      OPTION(run.cuda_graphs, "cuda-graphs", "",
             "capture a GPU's step and replay it as a whole; =false: launch by launch", any()),
      OPTION(run.profile, "profile", "STEPS",
             "print a table of operations and times over so many steps, and write trace.json",
             range(0, 10000)),
      OPTION(run.timeout, "timeout", "SECONDS", "that a collective may take", above(0)),
      OPTION(evaluate.checkpoint, "checkpoint", "PATH",
             "a checkpoint, a run directory (its newest one), or a state dict that torch.save "
             "wrote, of the network that --config or --layers tells",
             any()),
      OPTION(evaluate.split, "split", "SPLIT", "which images", one_of({"test", "val", "train"})),
      OPTION(evaluate.json, "json", "", "print JSON", any()),
      OPTION(evaluate.contact_sheet, "contact-sheet", "FILE",
             "write the first images of each class to this PNG file", any()),
      OPTION(evaluate.output, "output", "FILE",
             "the page or the results to write; default: report.html in the run's folder, or in "
             "the one that the runs share; of repeat: repeat-NAME.json",
             any()),
      OPTION(evaluate.runs, "runs", "N", "how often to train, with seeds from --seed on",
             range(1, 10000)),
      OPTION(evaluate.target, "target", "X", "test accuracy that runs are to reach", range(0, 1)),
      OPTION(evaluate.commit, "commit", "TEXT", "of the sources; recorded with the results", any()),
  };
}

// What only test builds have.
std::vector<Option> make_fault_options() {
#if CIFAR_FAULTS
  return {OPTION(run.fault, "fault", "SPEC",
                 "kill, stop, delay=SECONDS, bitflip or nan @STEP:RANK, with commas", any())};
#else
  return {};
#endif
}

#undef OPTION

}  // namespace

const std::vector<Section>& sections() {
  static const std::vector<Section> all = {
      {"data", "Data"},
      {"model", "Model"},
      {"augmentation", "Augmentation"},
      {"optimizer", "Optimizer"},
      {"schedule", "Schedule"},
      {"train", "Training"},
      {"run", "Run"},
      {"evaluate", "Evaluate, predict, report, inspect"},
  };
  return all;
}

const std::vector<Option>& options() {
  static const std::vector<Option> all = [] {
    auto options = make_options();
    std::ranges::move(make_fault_options(), std::back_inserter(options));
    return options;
  }();
  return all;
}

Value get(const Option& option, const Config& config) {
  Config copy = config;  // a field is found in a Config that can be written
  return std::visit([](auto* member) { return Value(*member); }, option.field(copy));
}

}  // namespace cifar

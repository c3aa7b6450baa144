#include "config/verbs.h"

#include <algorithm>
#include <limits>

namespace cifar {
namespace {

constexpr size_t kAnyNumber = std::numeric_limits<size_t>::max();

const std::vector<std::string> kTraining = {"data",     "model", "augmentation", "optimizer",
                                            "schedule", "train", "run"};

std::vector<Verb> make_verbs() {
  return {
      {"train", "", "train (the verb may be left out)",
       R"(Trains a recipe's network. Under mpirun each rank owns a GPU, or its share of
the CPU, and its part of every batch.
)",
       0, kTraining},
      {"evaluate",
       "--checkpoint PATH",
       "loss and accuracy",
       R"(Loss, accuracy and accuracy by class on a split. The recipe, and with it the
split, is the checkpoint's. Under mpirun the images are divided over the ranks.
)",
       0,
       {"data", "model", "augmentation.mean", "augmentation.std", "train.threads",
        "train.precision", "train.kernels", "train.validation", "train.tta", "train.tta_uncertain",
        "run.device", "run.comm", "run.timeout", "evaluate.checkpoint", "evaluate.split",
        "evaluate.json"}},
      {"predict",
       "--checkpoint PATH IMAGE...",
       "what is on pictures",
       R"(The three likeliest classes of each picture, with their probabilities: PNG and
JPEG files of any size, and folders of them. The largest square in the middle
of a picture is scaled to 32x32; what is transparent is white. With --json, a
line of JSON for each picture. A file that is no picture is an error line; the
others are answered, and the exit code is 3.
)",
       kAnyNumber,
       {"model", "augmentation.mean", "augmentation.std", "train.threads", "train.precision",
        "train.kernels", "run.device", "evaluate.checkpoint", "evaluate.json"}},
      {"report",
       "RUN...",
       "a page of one run or several",
       R"(With one run directory: its page, at any time, also while it trains: curves,
where the time went and, with the newest checkpoint and the data set, what it
does on the test split. With several, or a folder of them: a page that compares
them. Prints where the page is.
)",
       kAnyNumber,
       {"data.path", "train.threads", "run.device", "run.comm", "run.timeout", "evaluate.output"}},
      {"inspect",
       "[FILE]",
       "a recipe, data set or checkpoint",
       R"(With a recipe FILE, or nothing: the recipe's network as a table. With --data:
how many images of each class the splits have. With --checkpoint: its recipe,
its step and its tensors.
)",
       1,
       {"data", "model", "train.kernels", "evaluate.checkpoint", "evaluate.split", "evaluate.json",
        "evaluate.contact_sheet"}},
      {"repeat",
       "--runs N",
       "train it N times",
       R"(Trains the recipe N times, with seeds in a row, in one process, and writes mean,
standard deviation and times as JSON. Timed are whitening, training and the last
evaluation; not loading the data, a warm-up and drawing initial weights. Keeps
no checkpoints.
)",
       0,
       {"data", "model", "augmentation", "optimizer", "schedule", "train", "run.device", "run.comm",
        "run.timeout", "run.cuda_graphs", "evaluate.runs", "evaluate.target", "evaluate.output",
        "evaluate.commit"}},
      {"doctor", "", "what is found here to train with",
       R"(What each rank finds: devices, cores, MPI, NCCL. Tries an all-reduce, and fails
where a training with the same flags would.
)",
       0, kTraining},
  };
}

}  // namespace

bool Verb::heeds(const Option& option) const {
  return std::ranges::any_of(options, [&](const std::string& entry) {
    return entry == option.section() || entry == option.key;
  });
}

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = make_verbs();
  return all;
}

const Verb* find_verb(std::string_view name) {
  const auto found = std::ranges::find(verbs(), name, &Verb::name);
  return found == verbs().end() ? nullptr : &*found;
}

}  // namespace cifar

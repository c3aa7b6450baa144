#include "train/data_check.h"

#include <fmt/format.h>

#include "base/files.h"

namespace cifar {
namespace {

// What is known of the images that a run was trained on up to its checkpoint.
struct KnownImages {
  std::vector<DataUse> history;
  bool sampled = false;  // the last one's hash is a sampled_hash()
};

std::optional<RunFacts> facts_beside(const std::string& checkpoint) try {
  return run_facts_from(read_file(directory_of(checkpoint) + "/run.json", ExitCode::kCheckpoint));
} catch (const Error&) {
  return std::nullopt;  // a checkpoint alone is enough to go on from
}

KnownImages known_images(const FoundCheckpoint& found) {
  KnownImages known;
  const auto facts = facts_beside(found.file);
  if (facts) {
    // What came after the checkpoint is another history.
    for (const DataUse& use : facts->data_history) {
      if (use.step < found.checkpoint.position.step) known.history.push_back(use);
    }
    known.sampled = facts->data_history.empty();
    if (known.sampled) known.history = {{0, facts->data, facts->data_hash}};
  }
  const std::string& hash = found.checkpoint.data_hash;
  if (hash.empty() || (!known.history.empty() && known.history.back().hash == hash)) return known;
  known.history = {{0, "", hash}};
  known.sampled = false;
  return known;
}

std::string text_of(const DataUse& use) {
  return use.data.empty() ? "hash " + use.hash : fmt::format("{}, hash {}", use.data, use.hash);
}

}  // namespace

void continue_data_history(const FoundCheckpoint& found, const Dataset& dataset, RunFacts& facts,
                           const Log& log) {
  const Position& at = found.checkpoint.position;
  KnownImages known = known_images(found);
  const DataUse now = {at.step, facts.data, facts.data_hash};
  facts.data_history = std::move(known.history);
  if (facts.data_history.empty()) {
    facts.data_history = {now};
    return;
  }
  DataUse& before = facts.data_history.back();
  if (before.hash == (known.sampled ? sampled_hash(dataset) : now.hash)) {
    before.hash = now.hash;
    return;
  }
  if (at.step_in_epoch != 0) {
    throw Error(
        ExitCode::kData, "--resume " + found.file,
        fmt::format("other images ({}) in the middle of an epoch", text_of(now)),
        fmt::format("the run's own ({}), or a checkpoint at the end of an epoch", text_of(before)));
  }
  log.warning(fmt::format("{}: goes on with other images ({}) than those so far ({})", found.file,
                          text_of(now), text_of(before)));
  facts.data_history.push_back(now);
}

}  // namespace cifar

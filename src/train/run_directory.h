// The folder of one run, as rank 0 keeps it: config.toml (resolved), run.json (RunFacts),
// metrics.jsonl and checkpoints/step-NNNNNNNN.pt. Checkpoint files appear whole or not at all, and
// an older one is deleted only when a newer one is on the disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "train/checkpoint.h"
#include "train/run_facts.h"
#include "train/run_lock.h"

namespace cifar {

// A checkpoint and the file that it was read from.
struct FoundCheckpoint {
  std::string file;
  Checkpoint checkpoint;
};

// The run directory that a checkpoint belongs to: DIR of DIR/checkpoints/step-N.pt.
std::string directory_of(const std::string& checkpoint);

// The newest sound checkpoint under a run directory (or its checkpoints folder); damaged ones are
// named in a warning and passed over. None when there is no checkpoint at all; Error(kCheckpoint)
// when there are some and all are damaged.
std::optional<FoundCheckpoint> newest_checkpoint(const std::string& folder, const Log& log);

// `where`: a checkpoint file, or a folder for newest_checkpoint. Error(kCheckpoint) when there is
// none.
FoundCheckpoint find_checkpoint(const std::string& where, const Log& log);

class RunDirectory {
 public:
  // `path` empty: a new folder "runs/NAME-DATE-TIME". Error(kUsage) when a run is already there and
  // `resuming` is false. Files that a crash left half written are removed.
  RunDirectory(std::string path, const std::string& name, bool resuming, int64_t keep);

  const std::string& path() const { return path_; }
  // What is written from now on is written while `lock` is held: Error(kCheckpoint) when it is not.
  void write_under(std::shared_ptr<RunLock> lock) { lock_ = std::move(lock); }
  void require_lock() const;
  // Moves the checkpoints after `step` into the folder superseded: a run that goes on from an
  // earlier one has another history.
  void set_later_checkpoints_aside(int64_t step) const;
  // When they cannot be written, a run that begins leaves neither of the two.
  void write_config(const std::string& toml) const;
  void write_facts(const RunFacts& facts) const;
  // Deletes what exceeds the number to keep, after the new one is safe.
  void write_checkpoint(const Checkpoint& checkpoint) const;
  // Drops the lines of metrics.jsonl that a run with `epochs` whole epochs behind it writes again.
  void rewind_metrics(int64_t epochs) const;
  // One line or several, without the last newline; each is a JSON object with the key "step". On an
  // error none of them is in the file.
  void append_metrics(const std::string& lines) const;

 private:
  std::string metrics_file() const { return path_ + "/metrics.jsonl"; }
  void prune(const std::string& folder, const std::string& newest) const;
  void write_first_file(const std::string& name, const std::string& text) const;

  std::string path_;
  std::shared_ptr<RunLock> lock_;
  bool begins_;  // rather than going on with what is there
  int64_t keep_;
};

}  // namespace cifar

// One training to a run directory: DIR/run.lock names the process that trains there. A second start
// is refused with Error(kUsage) that names the first; the lock of a process that was killed is
// taken over.
//
// Whether the holder lives is looked up where that can be done: on the same machine, in the same
// container. Elsewhere (another host, as after Slurm has requeued a job) its sign of life decides:
// the holder touches the lock every `beat`; who waits and sees no touch for `silence`, by its own
// clock, takes over. So no two clocks are compared, and no human is needed after the loss of a
// host.
//
// Nothing is asked of the file system but that of several link() to one name one succeeds, which
// NFS promises too (flock is not everywhere). No lock is written over by a decision that may be
// old: who takes over a lock with the token T makes the file run.lock.after-T, which one process
// can, and only then replaces run.lock. A holder that was silent for too long and is taken over
// sees that before it writes anything more (require).
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/log.h"
#include "train/lock_file.h"

namespace cifar {

class RunLock {
 public:
  using Clock = std::chrono::steady_clock;

  struct Times {
    Clock::duration beat = std::chrono::seconds(10);
    Clock::duration silence = std::chrono::seconds(60);
    // How long a holder that lives is given to end, before this start is refused. A restart comes
    // while the processes of the start before it may still be ending.
    Clock::duration patience = {};
  };

  // `folder` is there.
  RunLock(std::string folder, const Times& times);
  // Gives it back.
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // Whether it is taken now; if not, ask again: whether the holder lives is not known yet, and
  // `log` is told so. Waits for a moment then. Error(kUsage) for a holder that lives,
  // Error(kCheckpoint) where no lock can be written.
  bool try_take(const Log& log);

  // Error(kCheckpoint) when another process has taken over.
  void require();

 private:
  std::string path() const { return folder_ + "/run.lock"; }
  std::string path_after(const std::string& token) const { return path() + ".after-" + token; }
  std::string path_of_this() const { return path() + ".new-" + mine_.token; }

  std::optional<LockFile> last() const;
  Alive alive(const LockFile& file);
  bool take_over(const std::string& place);
  void remove_remains() const;
  bool still_held() const;
  void touch_until_stopped(const std::stop_token& stop);
  void give_back();

  std::string folder_;
  Times times_;
  LockFile mine_;
  std::string place_;  // where it lies once it is taken: run.lock, unless that cannot be replaced

  // What was seen of a holder that cannot be looked up, and since when it has looked like that.
  std::optional<LockFile> seen_;
  Clock::time_point first_try_, untouched_since_;
  bool touched_ = false, told_ = false;

  std::mutex mutex_;
  std::condition_variable_any stopped_;
  std::jthread beat_;
};

}  // namespace cifar

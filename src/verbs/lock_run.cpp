#include "verbs/lock_run.h"

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "train/run_directory.h"
#include "verbs/setup.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

// Set by launch/local and the Slurm scripts, and by Slurm.
bool is_restart() {
  for (const char* name : {"CIFAR_RESTART_COUNT", "SLURM_RESTART_COUNT"}) {
    const char* count = std::getenv(name);
    if (count != nullptr && std::atoi(count) > 0) return true;
  }
  return false;
}

RunLock::Times times() {
  RunLock::Times times;
  if (is_restart()) times.patience = std::chrono::seconds(30);
  return times;
}

// Where the run goes on or begins, and so what is to be locked; empty where nothing is yet.
std::string folder_of(const RunConfig& run) {
  std::error_code error;
  std::string folder = run.directory;
  if (folder.empty() && !run.resume.empty() && run.resume != "auto") {
    const bool is_file = !fs::is_directory(run.resume, error);
    const bool is_run = !is_file && fs::is_directory(run.resume + "/checkpoints", error);
    // As directory_of() has it of the checkpoint that will be found there.
    folder = is_run ? run.resume : directory_of(is_file ? run.resume : run.resume + "/step-0.pt");
  }
  return fs::is_directory(folder, error) ? folder : "";
}

}  // namespace

std::shared_ptr<RunLock> lock_run(const Invocation& invocation) {
  const RunConfig& run = invocation.line.config.run;
  std::shared_ptr<RunLock> lock;
  if (invocation.world.rank() == 0) {
    const std::string folder = folder_of(run);
    if (!folder.empty()) lock = std::make_shared<RunLock>(folder, times());
  }
  for (std::string said; said != "go on";) {
    const bool taken = !lock || lock->try_take(invocation.log);
    said = broadcast_text(taken ? "go on" : "wait", invocation.world, run.timeout);
  }
  return lock;
}

std::shared_ptr<RunLock> lock_new_run(const std::string& folder, const Log& log) {
  make_folder(folder, ExitCode::kCheckpoint);
  auto lock = std::make_shared<RunLock>(folder, times());
  while (!lock->try_take(log)) {
  }
  return lock;
}

}  // namespace cifar

#include "train/run_directory.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/files.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

// step-NNNNNNNN.pt files of a folder, oldest first.
std::vector<std::string> checkpoint_files(const std::string& folder) {
  std::vector<std::string> files;
  for (const std::string& path : paths_in(folder, ExitCode::kCheckpoint)) {
    const std::string name = fs::path(path).filename().string();
    if (name.starts_with("step-") && name.ends_with(".pt")) files.push_back(path);
  }
  // By length first: steps beyond eight digits come last.
  std::sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) < std::pair(b.size(), b);
  });
  return files;
}

std::string new_path(const std::string& name) {
  const std::time_t now = std::time(nullptr);
  char date[32];
  std::strftime(date, sizeof(date), "%Y%m%d-%H%M%S", std::localtime(&now));
  const std::string base = fmt::format("runs/{}-{}", name, date);
  std::string path = base;
  make_folder("runs", ExitCode::kCheckpoint);
  std::error_code error;  // told when the folder in it cannot be made either
  // Made here, so that of two runs that begin at once each has its own.
  for (int i = 2; !fs::create_directory(path, error) && !error; ++i) {
    path = fmt::format("{}-{}", base, i);
  }
  return path;
}

// What a crash left half written. What cannot be found or removed does no harm.
void remove_parts(const std::string& folder) {
  std::error_code error;
  std::vector<fs::path> parts;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".part") parts.push_back(entry->path());
  }
  for (const fs::path& part : parts) {
    if (fs::symlink_status(part, error).type() == fs::file_type::regular) fs::remove(part, error);
  }
}

FoundCheckpoint read_checkpoint(const std::string& file) {
  return {file, deserialize(read_file(file, ExitCode::kCheckpoint), file)};
}

}  // namespace

std::string directory_of(const std::string& checkpoint) {
  return fs::path(absolute_path(checkpoint)).parent_path().parent_path().string();
}

std::optional<FoundCheckpoint> newest_checkpoint(const std::string& folder, const Log& log) {
  const std::string inner = folder + "/checkpoints";
  const auto files = checkpoint_files(path_exists(inner, ExitCode::kCheckpoint) ? inner : folder);
  for (auto file = files.rbegin(); file != files.rend(); ++file) {
    try {
      return read_checkpoint(*file);
    } catch (const Error& error) {
      log.warning(std::string(error.what()) + "; trying the one before it");
    }
  }
  if (files.empty()) return std::nullopt;
  throw Error(ExitCode::kCheckpoint, folder,
              fmt::format("all {} checkpoints are damaged", files.size()), "a sound one");
}

FoundCheckpoint find_checkpoint(const std::string& where, const Log& log) {
  std::error_code error;
  if (!fs::is_directory(where, error)) return read_checkpoint(where);
  auto found = newest_checkpoint(where, log);
  if (!found) throw Error(ExitCode::kCheckpoint, where, "no checkpoint", "step-NNNNNNNN.pt files");
  return std::move(*found);
}

RunDirectory::RunDirectory(std::string path, const std::string& name, bool resuming, int64_t keep)
    : path_(path.empty() ? new_path(name) : std::move(path)),
      begins_(!path_exists(path_ + "/config.toml", ExitCode::kCheckpoint)),
      keep_(keep) {
  if (!resuming && !begins_) {
    throw Error(ExitCode::kUsage, "--run-dir " + path_, "a run is already there",
                "a new folder, or --resume auto to go on");
  }
  make_folder(path_ + "/checkpoints", ExitCode::kCheckpoint);
  remove_parts(path_);
  remove_parts(path_ + "/checkpoints");
}

void RunDirectory::require_lock() const {
  if (lock_) lock_->require();
}

void RunDirectory::write_config(const std::string& toml) const {
  write_first_file("config.toml", toml);
}

void RunDirectory::write_facts(const RunFacts& facts) const {
  write_first_file("run.json", to_json(facts) + "\n");
}

// What fails before there was a step must not look like a run, which the next try would not touch.
void RunDirectory::write_first_file(const std::string& name, const std::string& text) const {
  require_lock();
  try {
    write_file(path_ + "/" + name, text, ExitCode::kCheckpoint);
  } catch (const Error&) {
    std::error_code error;
    if (begins_) {
      for (const char* mine : {"/config.toml", "/run.json"}) fs::remove(path_ + mine, error);
    }
    throw;
  }
}

void RunDirectory::write_checkpoint(const Checkpoint& checkpoint) const {
  require_lock();
  const std::string folder = path_ + "/checkpoints";
  const std::string file = fmt::format("{}/step-{:08}.pt", folder, checkpoint.position.step);
  write_file(file, serialize(checkpoint), ExitCode::kCheckpoint);
  prune(folder, file);
}

// Those of later steps than `newest` do not count: a resume passed them over because they are
// damaged. One that cannot be found or removed is one too many, no more.
void RunDirectory::prune(const std::string& folder, const std::string& newest) const try {
  const auto files = checkpoint_files(folder);
  const int64_t count = std::find(files.begin(), files.end(), newest) - files.begin() + 1;
  const int64_t extra = keep_ == 0 ? 0 : count - keep_;
  std::error_code error;
  for (int64_t i = 0; i < extra; ++i) fs::remove(files[i], error);
} catch (const Error&) {
}

void RunDirectory::set_later_checkpoints_aside(int64_t step) const {
  require_lock();
  const std::string folder = path_ + "/checkpoints", aside = path_ + "/superseded";
  const std::string last = fmt::format("{}/step-{:08}.pt", folder, step);
  for (const std::string& file : checkpoint_files(folder)) {
    if (std::pair(file.size(), file) <= std::pair(last.size(), last)) continue;
    make_folder(aside, ExitCode::kCheckpoint);
    std::error_code error;
    fs::rename(file, fs::path(aside) / fs::path(file).filename(), error);
    if (error) {
      throw Error(ExitCode::kCheckpoint, file, error.message(), "a file that can be moved aside");
    }
  }
}

void RunDirectory::rewind_metrics(int64_t epochs) const {
  require_lock();
  if (!path_exists(metrics_file(), ExitCode::kCheckpoint)) return;
  std::istringstream lines(read_file(metrics_file(), ExitCode::kCheckpoint));
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    const auto object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    // A line that a crash cut off is not JSON; the lines of the test and of an epoch that was
    // broken off are written anew.
    if (!object.is_object() || object.contains("test_loss") || object.contains("partial")) continue;
    if (object.value("epoch", int64_t{0}) <= epochs) kept += line + "\n";
  }
  write_file(metrics_file(), kept, ExitCode::kCheckpoint);
}

void RunDirectory::append_metrics(const std::string& lines) const {
  require_lock();
  append_file(metrics_file(), lines + "\n", ExitCode::kCheckpoint);
}

}  // namespace cifar

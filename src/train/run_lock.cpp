#include "train/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/error.h"

namespace cifar {

RunLock::RunLock(std::string folder, const Times& times)
    : folder_(std::move(folder)), times_(times), mine_(new_lock_file()), first_try_(Clock::now()) {}

RunLock::~RunLock() {
  if (place_.empty()) return;
  beat_.request_stop();
  beat_.join();
  give_back();
}

bool RunLock::try_take(const Log& log) {
  constexpr auto kPause = std::chrono::milliseconds(200);
  const auto found = last();
  const Alive life = found ? alive(*found) : Alive::kNo;
  if (life == Alive::kNo && take_over(found ? path_after(found->token) : path())) {
    beat_ = std::jthread([this](const std::stop_token& stop) { touch_until_stopped(stop); });
    return true;
  }
  if (life == Alive::kYes && Clock::now() - first_try_ >= times_.patience) {
    throw Error(ExitCode::kUsage, "--run-dir " + folder_, found->text(),
                "another folder, or the end of that training");
  }
  if (life != Alive::kNo && !std::exchange(told_, true)) {
    log.warning(fmt::format(
        "{}: {}; waiting for {}", path(), found->text(),
        life == Alive::kYes ? "its end" : "a sign of life, as it cannot be looked up from here"));
  }
  std::this_thread::sleep_for(kPause);
  return false;
}

void RunLock::require() {
  const std::lock_guard lock(mutex_);
  if (place_.empty() || still_held()) return;
  const auto found = last();
  throw Error(ExitCode::kCheckpoint, path(), found ? found->text() : "another training was here",
              "this process alone: it was taken for dead and writes nothing more");
}

// Who took over last: the end of the chain that begins with run.lock.
std::optional<LockFile> RunLock::last() const {
  constexpr int kMostLinks = 1000;  // each is a process that was killed while it took over
  auto found = read_lock_file(path());
  for (int i = 0; found && i < kMostLinks; ++i) {
    auto next = read_lock_file(path_after(found->token));
    if (!next) break;
    found = std::move(next);
  }
  return found;
}

Alive RunLock::alive(const LockFile& file) {
  const Alive known = is_alive(file.holder);
  if (known != Alive::kUnknown) return known;
  if (!seen_ || seen_->token != file.token || seen_->touched != file.touched) {
    touched_ = seen_.has_value();
    seen_ = file;
    untouched_since_ = Clock::now();
  }
  if (Clock::now() - untouched_since_ >= times_.silence) return Alive::kNo;
  return touched_ ? Alive::kYes : Alive::kUnknown;
}

// Another may have been faster, or may have been there long before: then run.lock is of a newer
// chain, in which `place` has no place. What link() says is not asked: NFS may repeat one that
// was done.
bool RunLock::take_over(const std::string& place) {
  const int error = place_lock_file(mine_, place, path_of_this());
  const auto found = last();
  if (!found || found->token != mine_.token) {
    if (error == 0) unlink(place.c_str());
    std::error_code no_matter;
    const bool others_did = error == ENOENT && std::filesystem::is_directory(folder_, no_matter);
    if (error == 0 || error == EEXIST || others_did) return false;
    throw Error(ExitCode::kCheckpoint, path(), std::strerror(error),
                "a folder that can be written, with room");
  }
  place_ = place;
  if (place == path() || replace_lock_file(mine_, path(), path_of_this()) == 0) {
    place_ = path();
    remove_remains();
  }
  return true;
}

// What is left of processes that were killed while they took over, and of the chain before.
void RunLock::remove_remains() const {
  namespace fs = std::filesystem;
  std::vector<fs::path> remains;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("run.lock.") && entry.path() != path_after(mine_.token)) {
      remains.push_back(entry.path());
    }
  }
  for (const fs::path& path : remains) fs::remove(path, error);
}

// One that was deleted by hand is made again. What cannot be read proves nothing.
bool RunLock::still_held() const {
  auto found = last();
  if (!found && place_lock_file(mine_, path(), path_of_this()) == EEXIST) found = last();
  return !found || found->token == mine_.token || !found->readable();
}

void RunLock::touch_until_stopped(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stopped_.wait_for(lock, stop, times_.beat, [&] { return stop.stop_requested(); })) {
    if (still_held()) utimensat(AT_FDCWD, place_.c_str(), nullptr, 0);
  }
}

// Takes over from itself, under another token: then nobody can replace run.lock, and it may go.
void RunLock::give_back() {
  const std::string token = mine_.token, place = path_after(token);
  mine_ = new_lock_file();
  if (place_lock_file(mine_, place, path_of_this()) != 0) return;
  const auto found = read_lock_file(path());
  if (found && found->token == token) unlink(path().c_str());
  unlink(place.c_str());
}

}  // namespace cifar

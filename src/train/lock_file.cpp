#include "train/lock_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>
#include <random>

#include "base/system_calls.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostBytes = 4096;

std::string time_text() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", std::localtime(&now));
  return text;
}

// Tokens become parts of file names.
bool is_token(const std::string& text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

int open_again(const std::string& path, int flags) {
  return uninterrupted([&] { return open(path.c_str(), flags | O_CLOEXEC, 0644); });
}

std::string json_of(const LockFile& file) {
  return Json{{"token", file.token},
              {"host", file.holder.host},
              {"process", file.holder.pid},
              {"since", file.since},
              {"start", file.holder.start},
              {"boot", file.holder.boot},
              {"pid_namespace", file.holder.pid_namespace}}
             .dump(2, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

// Leaves `file` as it is where the text is no lock's.
void parse(const std::string& text, LockFile& file) try {
  const Json json = Json::parse(text);
  LockFile read = file;
  json.at("token").get_to(read.token);
  json.at("host").get_to(read.holder.host);
  json.at("process").get_to(read.holder.pid);
  json.at("since").get_to(read.since);
  json.at("start").get_to(read.holder.start);
  json.at("boot").get_to(read.holder.boot);
  json.at("pid_namespace").get_to(read.holder.pid_namespace);
  if (is_token(read.token)) file = read;
} catch (const Json::exception&) {
}

int write_new(const std::string& path, const std::string& text) {
  const int fd = open_again(path, O_WRONLY | O_CREAT | O_EXCL);
  if (fd < 0) return errno;
  const int error = write_bytes(fd, text) < text.size() ? errno : 0;
  fsync(fd);  // what a crash of the machine takes away is a lock that need not be heeded
  close(fd);
  if (error != 0) unlink(path.c_str());
  return error;
}

bool knows_no_links(int error) {
  return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL;
}

}  // namespace

std::string LockFile::text() const {
  if (!readable()) return "a process that cannot be read trains here";
  return fmt::format("process {} on {} trains here since {}", holder.pid, holder.host, since);
}

LockFile new_lock_file() {
  std::random_device random;
  return {fmt::format("{:08x}{:08x}", random(), random()), this_process(), time_text(), 0};
}

std::optional<LockFile> read_lock_file(const std::string& path) {
  const int fd = open_again(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0 && errno == ENOENT) return std::nullopt;
  struct stat status = {};
  std::string text(kMostBytes, '\0');
  ssize_t count = 0;
  if (fd < 0) {
    stat(path.c_str(), &status);
  } else {
    const bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    if (is_file) count = uninterrupted([&] { return ::read(fd, text.data(), kMostBytes); });
    close(fd);
  }
  text.resize(static_cast<size_t>(std::max<ssize_t>(0, count)));
  LockFile file;
  file.touched = status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec;
  file.token = fmt::format("{:x}{:x}", status.st_ino, file.touched);  // where the text has none
  parse(text, file);
  return file;
}

int place_lock_file(const LockFile& file, const std::string& path, const std::string& beside) {
  unlink(beside.c_str());
  int error = write_new(beside, json_of(file));
  if (error != 0) return error;
  if (link(beside.c_str(), path.c_str()) != 0) error = errno;
  unlink(beside.c_str());
  return knows_no_links(error) ? write_new(path, json_of(file)) : error;
}

int replace_lock_file(const LockFile& file, const std::string& path, const std::string& beside) {
  unlink(beside.c_str());
  int error = write_new(beside, json_of(file));
  if (error == 0 && rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) unlink(beside.c_str());
  return error;
}

}  // namespace cifar

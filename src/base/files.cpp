#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace cifar {
namespace {

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

  // A file that grows meanwhile is read no further than `most`.
  bool read_all(std::string& bytes, int64_t most) const {
    char block[1 << 16];
    while (static_cast<int64_t>(bytes.size()) < most) {
      const ssize_t count = read(fd_, block, sizeof(block));
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return count == 0;
      bytes.append(block, static_cast<size_t>(count));
    }
    return true;
  }

  bool write_all(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t written = write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return false;
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return fsync(fd_) == 0;
  }

 private:
  int fd_;
};

bool write_through(const std::string& path, std::string_view bytes) {
  const Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  return file.fd() >= 0 && file.write_all(bytes);
}

bool flush_folder(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path().string();
  const Descriptor folder(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
  return folder.fd() >= 0 && fsync(folder.fd()) == 0;
}

}  // namespace

std::string read_file(const std::string& path, ExitCode code, int64_t most) {
  // O_NONBLOCK: the opening of a FIFO that nobody writes to would wait for ever.
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  struct stat status = {};
  if (file.fd() < 0 || fstat(file.fd(), &status) != 0) {
    throw Error(code, path, std::strerror(errno), "a readable file");
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(code, path, S_ISDIR(status.st_mode) ? "a folder" : "not a regular file",
                "a regular file");
  }
  if (status.st_size > most) {
    throw Error(code, path, fmt::format("{} bytes", static_cast<int64_t>(status.st_size)),
                fmt::format("at most {} bytes", most));
  }
  std::string bytes;
  bytes.reserve(static_cast<size_t>(status.st_size));
  if (!file.read_all(bytes, most)) throw Error(code, path, std::strerror(errno), "a readable file");
  return bytes;
}

void write_file(const std::string& path, std::string_view bytes, ExitCode code) {
  const std::string part = path + ".part";
  if (write_through(part, bytes) && rename(part.c_str(), path.c_str()) == 0 && flush_folder(path)) {
    return;
  }
  const std::string reason = std::strerror(errno);
  unlink(part.c_str());
  throw Error(code, path, reason, "a folder that can be written, with room");
}

void make_folder(const std::string& path, ExitCode code) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw Error(code, path, error.message(), "a folder that can be made");
}

}  // namespace cifar

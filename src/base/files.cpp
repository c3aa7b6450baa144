#include "base/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/system_calls.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWritable = "a folder that can be written, with room";

// Some file systems (of Windows shares, some of FUSE) know no flushing; then there is none to wait
// for.
bool flush(int descriptor) {
  if (uninterrupted([&] { return fsync(descriptor); }) == 0) return true;
  return errno == EINVAL || errno == ENOTSUP || errno == ENOSYS;
}

class Descriptor {
 public:
  Descriptor(const std::string& path, int flags)
      : fd_(uninterrupted([&] { return open(path.c_str(), flags | O_CLOEXEC, 0644); })) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

  // A file server may tell only now that it has no room. When a signal breaks it off, it is closed
  // all the same.
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0 || errno == EINTR;
  }

  // A file that grows meanwhile is read no further than `most`.
  bool read_all(std::string& bytes, int64_t most) const {
    char block[1 << 16];
    while (static_cast<int64_t>(bytes.size()) < most) {
      const ssize_t count = uninterrupted([&] { return read(fd_, block, sizeof(block)); });
      if (count <= 0) return count == 0;
      bytes.append(block, static_cast<size_t>(count));
    }
    return true;
  }

  bool write_all(std::string_view bytes) {
    return write_bytes(fd_, bytes) == bytes.size() && flush(fd_) && close();
  }

 private:
  int fd_;
};

bool write_through(const std::string& path, std::string_view bytes) {
  Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC);
  return file.is_open() && file.write_all(bytes);
}

bool move_to(const std::string& from, const std::string& to) {
  return uninterrupted([&] { return rename(from.c_str(), to.c_str()); }) == 0;
}

// A folder that may be written but not read cannot be flushed.
bool flush_folder_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  const Descriptor folder(parent.empty() ? "." : parent, O_RDONLY | O_DIRECTORY);
  if (!folder.is_open()) return errno == EACCES;
  return flush(folder.fd());
}

}  // namespace

std::string read_file(const std::string& path, ExitCode code, int64_t most) {
  // O_NONBLOCK: the opening of a FIFO that nobody writes to would wait for ever.
  const Descriptor file(path, O_RDONLY | O_NONBLOCK);
  struct stat status = {};
  if (!file.is_open() || fstat(file.fd(), &status) != 0) {
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
  if (write_through(part, bytes) && move_to(part, path) && flush_folder_of(path)) return;
  const std::string reason = std::strerror(errno);
  unlink(part.c_str());
  throw Error(code, path, reason, kWritable);
}

void append_file(const std::string& path, std::string_view bytes, ExitCode code) {
  // O_NONBLOCK: as for reading.
  Descriptor file(path, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK);
  struct stat before = {};
  if (!file.is_open() || fstat(file.fd(), &before) != 0) {
    throw Error(code, path, std::strerror(errno), kWritable);
  }
  if (write_bytes(file.fd(), bytes) == bytes.size() && flush(file.fd()) && file.close()) return;
  const std::string reason = std::strerror(errno);
  // Half a line would spoil the next one.
  if (S_ISREG(before.st_mode) && truncate(path.c_str(), before.st_size) != 0) {
    throw Error(code, path, reason + ", and what was written of it stays", kWritable);
  }
  throw Error(code, path, reason, kWritable);
}

void make_folder(const std::string& path, ExitCode code) {
  std::error_code error;
  do fs::create_directories(path, error);
  while (error == std::errc::interrupted);
  if (error) throw Error(code, path, error.message(), "a folder that can be made");
}

bool path_exists(const std::string& path, ExitCode code) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (fs::status_known(status)) return fs::exists(status);
  throw Error(code, path, error.message(), "a path that can be looked up");
}

std::vector<std::string> paths_in(const std::string& folder, ExitCode code) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    paths.push_back(entry->path().string());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw Error(code, folder, error.message(), "a folder that can be read");
  }
  return paths;
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  return (error ? fs::path(path) : absolute).lexically_normal().string();
}

}  // namespace cifar

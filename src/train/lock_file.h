// The file by which a process says that something is its own: who it is, and since when; see
// run_lock.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/process_identity.h"

namespace cifar {

struct LockFile {
  std::string token;  // of hexadecimal digits; no two files have the same
  ProcessIdentity holder;
  std::string since;
  int64_t touched = 0;  // nanoseconds, by the clock of the file system

  // A crash of the machine may leave an empty file.
  bool readable() const { return holder.pid > 0; }
  // "process 7 on node-a trains here since 2026-11-28 12:00:00".
  std::string text() const;
};

// Of this process, from now on, with a token of its own.
LockFile new_lock_file();

// None where no file is. Opening asks the server of a network file system for the newest.
std::optional<LockFile> read_lock_file(const std::string& path);

// 0, or errno. EEXIST where a file is: of several processes that write to one name, one succeeds,
// and the file is there whole (without its content for a moment, where no links can be made).
// `beside`: a name that only this process uses, in the same folder.
int place_lock_file(const LockFile& file, const std::string& path, const std::string& beside);

// The same for a name that is to be replaced.
int replace_lock_file(const LockFile& file, const std::string& path, const std::string& beside);

}  // namespace cifar

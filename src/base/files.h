// Files that are either there whole or not at all. Errors carry the exit code that the caller gives
// and name the file and the system's reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cifar {

// Only regular files, of at most `most` bytes: a FIFO would hang, /dev/zero never ends.
std::string read_file(const std::string& path, ExitCode code, int64_t most = int64_t{1} << 32);

// Writes PATH.part, flushes it to the disk, renames it to PATH and flushes the folder: after a
// crash PATH is the old file or the new one. On an error PATH.part is removed and PATH is as
// before.
void write_file(const std::string& path, std::string_view bytes, ExitCode code);

// The folder and its parents.
void make_folder(const std::string& path, ExitCode code);

}  // namespace cifar

// Files that are either there whole or not at all, and what the system says of folders. Errors
// carry the exit code that the caller gives and name the file and the system's reason. A call that
// a signal broke off is made again.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cifar {

// Only regular files, of at most `most` bytes: a FIFO would hang, /dev/zero never ends.
std::string read_file(const std::string& path, ExitCode code, int64_t most = int64_t{1} << 32);

// Writes PATH.part, flushes it to the disk, renames it to PATH and flushes the folder: after a
// crash PATH is the old file or the new one. On an error PATH.part is removed and PATH is as
// before, or new where the folder alone could not be flushed.
void write_file(const std::string& path, std::string_view bytes, ExitCode code);

// Adds to a file, which need not be there yet, and flushes it. On an error the file is as before,
// if the system still allows that.
void append_file(const std::string& path, std::string_view bytes, ExitCode code);

// The folder and its parents.
void make_folder(const std::string& path, ExitCode code);

// Whether something has that name. Error where the system will not say: no permission, a name too
// long.
bool path_exists(const std::string& path, ExitCode code);

// The names in a folder with the folder before them, in no order; none where there is no folder.
// Error when it cannot be read.
std::vector<std::string> paths_in(const std::string& folder, ExitCode code);

// Absolute and without "." and ".."; unchanged where the current folder is gone.
std::string absolute_path(const std::string& path);

}  // namespace cifar

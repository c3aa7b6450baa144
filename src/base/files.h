// Files that are either there whole or not at all. Errors carry the exit code that the caller gives
// and name the file and the system's reason.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace cifar {

std::string read_file(const std::string& path, ExitCode code);

// Writes PATH.part, flushes it to the disk, renames it to PATH and flushes the folder: after a
// crash PATH is the old file or the new one. On an error PATH.part is removed and PATH is as
// before.
void write_file(const std::string& path, std::string_view bytes, ExitCode code);

// The folder and its parents.
void make_folder(const std::string& path, ExitCode code);

}  // namespace cifar

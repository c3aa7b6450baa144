// What a file is that is no checkpoint and holds no weights that are read here: the kinds that
// people have beside them, each with what to do.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cifar {

struct ForeignFile {
  std::string what;      // "a Git LFS pointer, not the file itself"
  std::string expected;  // "the file, which git lfs pull gets"
};

// By its first bytes, or of a zip archive by its names; none: not known.
std::optional<ForeignFile> recognise_foreign(std::string_view bytes);

}  // namespace cifar

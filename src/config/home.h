// "~" as a shell has it, for where no shell has seen it: in --run-dir=~/runs, in a recipe, in the
// environment.
#pragma once

#include <string>

namespace cifar {

// "~" and "~/..." with HOME in their place; all other paths as they are, "~user/..." too. Without
// HOME an Error(kUsage), which names the subject.
std::string expand_home(const std::string& path, const std::string& subject);

}  // namespace cifar

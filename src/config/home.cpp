#include "config/home.h"

#include <cstdlib>
#include <filesystem>

#include "base/error.h"

namespace cifar {

std::string expand_home(const std::string& path, const std::string& subject) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    throw Error(ExitCode::kUsage, subject, path,
                "a path without ~, since HOME is not set (./~ is a folder of that name)");
  }
  if (path.find_first_not_of('/', 1) == std::string::npos) return home;
  return (std::filesystem::path(home) / path.substr(path.find_first_not_of('/', 1))).string();
}

}  // namespace cifar

#include "base/processes.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace cifar {
namespace {

std::string read_all(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::vector<std::string>> read_variables(const std::string& folder) {
  std::ifstream file(folder + "/environ", std::ios::binary);
  std::vector<std::string> variables;
  std::string one;
  while (std::getline(file, one, '\0')) variables.push_back(one);
  // Without the right to read it, opening succeeds or fails, and reading fails.
  if (!file.is_open() || file.bad()) return std::nullopt;
  return variables;
}

// The name that ps shows is a script's own, and can be changed.
std::string program_name(const std::string& folder, const std::string& shown) {
  std::error_code error;
  const std::filesystem::path file = std::filesystem::read_symlink(folder + "/exe", error);
  if (error) return shown;
  const std::string name = file.filename();
  return name.substr(0, name.find(" (deleted)"));
}

}  // namespace

std::optional<std::string> Process::variable(std::string_view name) const {
  if (!variables) return std::nullopt;
  const std::string start = std::string(name) + "=";
  const auto found = std::ranges::find_if(
      *variables, [&](const std::string& one) { return one.starts_with(start); });
  if (found == variables->end()) return std::nullopt;
  return found->substr(start.size());
}

std::optional<Process> read_process(int id) {
  const std::string folder = "/proc/" + std::to_string(id);
  const std::string stat = read_all(folder + "/stat");
  // "12 (a name) S 1 12 ...": a name may have brackets of its own.
  const size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  Process process;
  process.id = id;
  std::istringstream rest(stat.substr(close + 1));
  rest >> process.state >> process.parent >> process.group;
  // proc(5): those were the fields 3 to 5; field 22 is the start.
  std::string skipped;
  for (int field = 6; field < 22; ++field) rest >> skipped;
  rest >> process.start;
  process.name = program_name(folder, stat.substr(open + 1, close - open - 1));
  process.variables = read_variables(folder);
  return process;
}

std::vector<Process> lineage() {
  std::vector<Process> line;
  for (int id = getpid(); id > 0; id = line.back().parent) {
    const auto process = read_process(id);
    if (!process) break;
    line.push_back(*process);
  }
  return line;
}

std::vector<Process> siblings() {
  std::vector<Process> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    int id = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), id).ec != std::errc{}) continue;
    const auto process = id == getpid() ? std::nullopt : read_process(id);
    if (process && process->parent == getppid()) found.push_back(*process);
  }
  return found;
}

}  // namespace cifar

#include "report/run_record.h"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/files.h"
#include "config/load.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

double number(const Json& object, const char* key) {
  const auto found = object.find(key);
  const bool there = found != object.end() && found->is_number();
  return there ? found->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

int64_t whole_number(const Json& object, const char* key) {
  const double value = number(object, key);
  return std::isfinite(value) && std::abs(value) < 1e15 ? static_cast<int64_t>(value) : 0;
}

EpochLine epoch_line(const Json& object) {
  return {.epoch = whole_number(object, "epoch"),
          .step = whole_number(object, "step"),
          .partial = object.contains("partial"),
          .train_loss = number(object, "train_loss"),
          .train_accuracy = number(object, "train_accuracy"),
          .val_loss = number(object, "val_loss"),
          .val_accuracy = number(object, "val_accuracy"),
          .learning_rate = number(object, "learning_rate"),
          .images_per_second = number(object, "images_per_second"),
          .seconds_train = number(object, "seconds_train"),
          .seconds_data = number(object, "seconds_data"),
          .seconds_compute = number(object, "seconds_compute"),
          .seconds_communication = number(object, "seconds_communication"),
          .seconds_validation = number(object, "seconds_validation"),
          .seconds_checkpoint = number(object, "seconds_checkpoint")};
}

void read_metrics(const std::string& file, RunRecord& run) {
  struct stat status;
  if (stat(file.c_str(), &status) != 0) return;  // not a step is done yet
  run.last_change = static_cast<double>(status.st_mtime);
  std::istringstream lines(read_file(file, ExitCode::kUsage));
  for (std::string line; std::getline(lines, line);) {
    const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) {
      ++run.unreadable_lines;
    } else if (object.contains("test_loss")) {
      run.test = TestLine{number(object, "test_loss"), number(object, "test_accuracy")};
    } else {
      run.epochs.push_back(epoch_line(object));
    }
  }
}

bool is_run(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / "config.toml", error);
}

double or_zero(double value) {
  return std::isfinite(value) ? value : 0;
}

}  // namespace

int64_t RunRecord::whole_epochs() const {
  return std::ranges::count(epochs, false, &EpochLine::partial);
}

double RunRecord::seconds() const {
  double sum = 0;
  for (const EpochLine& line : epochs) {
    sum += or_zero(line.seconds_train) + or_zero(line.seconds_validation);
  }
  return sum;
}

double RunRecord::images_per_second() const {
  double images = 0, seconds = 0;
  for (const EpochLine& line : epochs) {
    images += or_zero(line.images_per_second) * or_zero(line.seconds_train);
    seconds += or_zero(line.seconds_train);
  }
  return seconds > 0 ? images / seconds : 0;
}

RunRecord read_run(const std::string& path) {
  RunRecord run;
  run.path = absolute_path(path);
  while (run.path.size() > 1 && run.path.back() == '/') run.path.pop_back();
  run.name = fs::path(run.path).filename().string();
  const std::string file = run.path + "/config.toml";
  if (!path_exists(file, ExitCode::kUsage) || !is_run(path)) {
    throw Error(ExitCode::kUsage, path, "no config.toml", "the directory of a run");
  }
  run.recipe = read_file(file, ExitCode::kUsage);
  run.config = parse_command_line(0, nullptr, {run.recipe, file}).config;
  read_metrics(run.path + "/metrics.jsonl", run);
  const std::string facts = run.path + "/run.json";
  if (path_exists(facts, ExitCode::kUsage)) {
    run.facts = run_facts_from(read_file(facts, ExitCode::kUsage));
  }
  return run;
}

std::vector<std::string> find_runs(const std::vector<std::string>& arguments) {
  std::vector<std::string> runs;
  std::set<fs::path> seen;
  const auto add = [&](const fs::path& run) {
    std::error_code error;  // then it is known by the name given
    const fs::path known = fs::weakly_canonical(run, error);
    if (seen.insert(error ? run : known).second) runs.push_back(run.string());
  };
  for (const std::string& argument : arguments) {
    if (is_run(argument)) {
      add(argument);
      continue;
    }
    std::vector<fs::path> inside;
    for (const std::string& path : paths_in(argument, ExitCode::kUsage)) {
      if (is_run(path)) inside.emplace_back(path);
    }
    if (inside.empty()) {
      const bool there = path_exists(argument, ExitCode::kUsage);
      throw Error(ExitCode::kUsage, argument, there ? "no run in it" : "No such file or directory",
                  "the directory of a run (it has a config.toml), or a folder of such");
    }
    std::ranges::sort(inside);
    for (const fs::path& run : inside) add(run);
  }
  return runs;
}

}  // namespace cifar

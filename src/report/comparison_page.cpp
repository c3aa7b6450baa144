#include "report/comparison_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/files.h"
#include "report/chart.h"
#include "report/html.h"
#include "report/run_charts.h"

namespace cifar {
namespace {

namespace fs = std::filesystem;

struct Picture {
  std::string name;  // of its file
  std::string svg;
};

// The mean over the runs of a group, epoch by epoch, and as a band from the lowest to the highest.
Line mean_line(const RunGroup& group, double EpochLine::*value) {
  std::map<double, std::vector<double>> epochs;
  for (const RunRecord& run : group.runs) {
    for (const Point& point : over_epochs(run, value)) {
      if (std::isfinite(point.y)) epochs[point.x].push_back(point.y);
    }
  }
  Line line{group.name, {}};
  for (const auto& [epoch, values] : epochs) {
    line.points.push_back({epoch, spread_of(values).mean});
    line.low.push_back({epoch, std::ranges::min(values)});
    line.high.push_back({epoch, std::ranges::max(values)});
  }
  return line;
}

std::vector<Picture> pictures_of(const std::vector<RunGroup>& groups) {
  DotChart tested{"Accuracy on the test images", {}};
  for (const RunGroup& group : groups) {
    tested.rows.push_back({group.name, group.test_accuracies()});
  }
  const auto curves = [&](const char* title, double EpochLine::*value, bool percent) {
    LineChart chart{title, "epoch", {}, percent};
    for (const RunGroup& group : groups) chart.lines.push_back(mean_line(group, value));
    return chart.svg();
  };
  std::vector<Picture> pictures = {{"test-accuracy", tested.svg()}};
  if (std::ranges::any_of(groups, [](const RunGroup& group) {
        return group.runs.front().config.data.validation_size > 0;
      })) {
    pictures.push_back({"val-accuracy", curves("Accuracy on the validation images",
                                               &EpochLine::val_accuracy, true)});
    pictures.push_back(
        {"val-loss", curves("Loss on the validation images", &EpochLine::val_loss, false)});
  }
  pictures.push_back({"train-loss", curves("Loss in training", &EpochLine::train_loss, false)});
  return pictures;
}

// Of each run that has it: a figure of its last whole epoch.
Spread last_epoch(const RunGroup& group, double EpochLine::*value) {
  std::vector<double> values;
  for (const RunRecord& run : group.runs) {
    const auto points = over_epochs(run, value);
    if (!points.empty() && std::isfinite(points.back().y)) values.push_back(points.back().y);
  }
  return spread_of(values);
}

template <typename Figure>
double mean_of(const RunGroup& group, const Figure& figure) {
  std::vector<double> values;
  for (const RunRecord& run : group.runs) values.push_back(figure(run));
  return spread_of(values).mean;
}

std::string grouped(int64_t number) {
  return fmt::format("{}", fmt::group_digits(number));
}

std::string groups_table(const std::vector<RunGroup>& groups) {
  std::vector<std::vector<std::string>> rows;
  for (const RunGroup& group : groups) {
    const double speed =
        mean_of(group, [](const RunRecord& run) { return run.images_per_second(); });
    rows.push_back({escape(group.name), spread_text(spread_of(group.test_accuracies())),
                    spread_text(last_epoch(group, &EpochLine::val_accuracy)),
                    spread_text(last_epoch(group, &EpochLine::train_accuracy)),
                    fmt::format("{}", group.runs.size()), grouped(group.parameters),
                    grouped(group.multiply_adds), grouped(std::llround(speed)),
                    duration(mean_of(group, [](const RunRecord& run) { return run.seconds(); }))});
  }
  return html_table(
      {"recipe", "test", "val", "train", "runs", "parameters", "multiply-adds", "images/s", "time"},
      rows);
}

std::string runs_table(const std::vector<RunGroup>& groups, const fs::path& folder) {
  std::vector<std::vector<std::string>> rows;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      const fs::path page = fs::path(run.path).lexically_relative(folder) / "report.html";
      const std::string link =
          fmt::format("<a href=\"{}\">{}</a>", escape(page.string()), escape(run.name));
      rows.push_back({link, fmt::format("{}", run.config.train.seed),
                      fmt::format("{} of {}", run.whole_epochs(), run.config.train.epochs),
                      run.test ? percent(run.test->accuracy) : "–"});
    }
  }
  return folded("Runs", html_table({"run", "seed", "epochs", "test acc."}, rows));
}

// On which images, how long, and on what.
std::string about(const std::vector<RunGroup>& groups) {
  std::set<std::string> data, machines;
  std::set<int64_t> epochs, seeds;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      epochs.insert(run.config.train.epochs);
      seeds.insert(run.config.train.seed);
      if (!run.facts) continue;
      const RunFacts& facts = *run.facts;
      data.insert(facts.synthetic ? "synthetic images" : "CIFAR-10 (" + facts.data + ")");
      machines.insert(fmt::format("{} rank{} with {} thread{} each on {}", facts.ranks,
                                  facts.ranks == 1 ? "" : "s", facts.threads,
                                  facts.threads == 1 ? "" : "s", facts.hardware));
    }
  }
  std::string text = fmt::format("{} epochs, seed{} {}", fmt::join(epochs, ", "),
                                 seeds.size() == 1 ? "" : "s", fmt::join(seeds, ", "));
  for (const auto* set : {&data, &machines}) {
    if (!set->empty()) text += fmt::format("; {}", fmt::join(*set, " | "));
  }
  return text + ".";
}

std::vector<Score> scores_of(const std::vector<RunGroup>& groups) {
  std::vector<Score> scores;
  for (const RunGroup& group : groups) {
    scores.push_back({group.name, spread_of(group.test_accuracies())});
  }
  return scores;
}

// The folder that all runs lie in; empty: they do not lie in one.
fs::path shared_folder(const std::vector<RunGroup>& groups) {
  std::set<fs::path> folders;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) folders.insert(fs::path(run.path).parent_path());
  }
  return folders.size() == 1 ? *folders.begin() : fs::path();
}

std::string question_in(const fs::path& folder) {
  const fs::path file = folder / "question.txt";
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return "";
  constexpr int64_t kMostBytes = 1'000'000;
  const std::string text = read_file(file, ExitCode::kUsage, kMostBytes);
  return text.substr(0, text.find('\n'));
}

std::string page_of(const std::vector<RunGroup>& groups, const std::string& title,
                    const std::string& question, const fs::path& folder,
                    const std::vector<Picture>& pictures) {
  std::string body = "<header>\n<h1>" + escape(title) + "</h1>\n";
  if (!question.empty()) body += "<p class=\"question\">" + escape(question) + "</p>\n";
  body += "<p class=\"answer\">" + escape(answer(scores_of(groups))) + "</p>\n";
  body += "<p class=\"muted\">" + escape(about(groups)) + "</p>\n</header>\n";
  body += warnings_box(comparison_warnings(groups));
  body += section(
      "Figures",
      "<p class=\"muted\">Accuracies on the splits: mean ± standard deviation over the "
      "seeds, val and train after the last epoch. Parameters and multiply-adds (of one image, "
      "forward) are the network's; images/s and time a mean over the runs.</p>\n" +
          groups_table(groups));
  std::string charts = "<div class=\"charts\">\n";
  for (const Picture& picture : pictures) charts += picture.svg;
  body +=
      section("Curves", charts +
                            "</div>\n<p class=\"muted\">Lines: mean over the seeds; bands: from "
                            "the lowest to the highest seed.</p>\n");
  return html_page(title, body + runs_table(groups, folder));
}

}  // namespace

std::string write_comparison(const std::vector<std::string>& runs, std::string file,
                             const Log& log) {
  std::vector<RunRecord> records;
  for (const std::string& run : runs) records.push_back(read_run(run));
  const std::vector<RunGroup> groups = group_runs(std::move(records));
  const fs::path shared = shared_folder(groups);
  if (file.empty()) file = (shared / "report.html").string();
  for (const std::string& warning : comparison_warnings(groups)) log.warning(warning);
  const auto pictures = pictures_of(groups);
  const fs::path path = absolute_path(file);
  const std::string stem = fs::path(path).replace_extension().string();
  for (const Picture& picture : pictures) {
    write_file(fmt::format("{}-{}.svg", stem, picture.name), svg_file(picture.svg),
               ExitCode::kUsage);
  }
  const std::string title =
      shared.empty() ? fmt::format("{} runs", runs.size()) : shared.filename().string();
  write_file(path.string(),
             page_of(groups, title, question_in(shared), path.parent_path(), pictures),
             ExitCode::kUsage);
  return file;
}

}  // namespace cifar

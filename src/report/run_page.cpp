#include "report/run_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/files.h"
#include "report/events_file.h"
#include "report/html.h"
#include "report/run_charts.h"
#include "report/run_sections.h"

namespace cifar {
namespace {

std::string header(const RunRecord& run) {
  const RunFacts facts = run.facts.value_or(RunFacts{});
  std::string about = fmt::format("{} of {} epochs", run.whole_epochs(), run.config.train.epochs);
  about = (run.test ? "Finished: " : "Not finished: ") + about + ".";
  if (run.facts) {
    about +=
        fmt::format(" Recipe {} on {}; {} rank{} with {} thread{} each on {} ({}).", facts.recipe,
                    facts.synthetic ? "synthetic images" : "CIFAR-10 (" + facts.data + ")",
                    facts.ranks, facts.ranks == 1 ? "" : "s", facts.threads,
                    facts.threads == 1 ? "" : "s", facts.hardware, facts.host);
  }
  return "<header>\n<h1>" + escape(run.name) + "</h1>\n<p class=\"muted\">" + escape(about) +
         "</p>\n</header>\n";
}

std::vector<std::string> warnings_about(const RunRecord& run) {
  std::vector<std::string> warnings;
  if (run.facts && run.facts->synthetic) {
    warnings.push_back("Synthetic data: made-up images, not CIFAR-10.");
  }
  if (run.unreadable_lines > 0) {
    warnings.push_back(fmt::format(
        "metrics.jsonl: {} line{} could not be read and {} left out; a run that is writing or was "
        "killed leaves half a line.",
        run.unreadable_lines, run.unreadable_lines == 1 ? "" : "s",
        run.unreadable_lines == 1 ? "is" : "are"));
  }
  if (run.epochs.empty()) warnings.push_back("No epoch has been recorded yet.");
  return warnings;
}

std::string key_figures(const RunRecord& run) {
  const auto accuracy = [](double value) { return std::isfinite(value) ? percent(value) : "–"; };
  const auto loss = [](double value) {
    return std::isfinite(value) ? fmt::format("loss {:.4f}", value) : std::string();
  };
  std::vector<Tile> all;
  if (run.test)
    all.push_back({"Test accuracy", accuracy(run.test->accuracy), loss(run.test->loss)});
  if (!run.epochs.empty()) {
    const EpochLine& last = run.epochs.back();
    if (std::isfinite(last.val_accuracy)) {
      all.push_back({"Validation accuracy", accuracy(last.val_accuracy), loss(last.val_loss)});
    }
    all.push_back({"Training accuracy", accuracy(last.train_accuracy), loss(last.train_loss)});
    all.push_back({"Images per second",
                   fmt::format("{}", fmt::group_digits(std::llround(run.images_per_second()))),
                   "training, all epochs"});
    all.push_back(
        {"Time", duration(run.seconds()), fmt::format("{} steps", fmt::group_digits(last.step))});
  }
  return tiles(all);
}

std::string curves(const RunRecord& run) {
  std::string html = "<div class=\"charts\">\n";
  for (const NamedChart& chart : run_charts(run)) html += chart.chart.svg();
  return section("Curves", html + "</div>\n");
}

}  // namespace

std::string run_page(const RunRecord& run, const std::optional<TestedImages>& tested) {
  std::string body = header(run) + warnings_box(warnings_about(run)) + key_figures(run);
  body += curves(run) + time_section(run) + classes_section(run, tested);
  if (tested) {
    body += confusion_section(*tested) + mistakes_section(*tested);
  }
  body += epochs_table(run) + network_table(run);
  body += folded("Settings (config.toml)", "<pre>" + escape(run.recipe) + "</pre>\n");
  return html_page(run.name, body);
}

void write_run_report(const RunRecord& run, const std::optional<TestedImages>& tested,
                      const std::string& file) {
  const std::string stem = std::filesystem::path(file).replace_extension().string();
  for (const NamedChart& chart : run_charts(run)) {
    write_file(fmt::format("{}-{}.svg", stem, chart.name), svg_file(chart.chart.svg()),
               ExitCode::kUsage);
  }
  update_events(run);
  write_file(file, run_page(run, tested), ExitCode::kUsage);
}

}  // namespace cifar

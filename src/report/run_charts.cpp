#include "report/run_charts.h"

namespace cifar {

std::vector<Point> over_epochs(const RunRecord& run, double EpochLine::*value) {
  std::vector<Point> points;
  for (const EpochLine& line : run.epochs) {
    if (!line.partial) points.push_back({static_cast<double>(line.epoch), line.*value});
  }
  return points;
}

std::vector<NamedChart> run_charts(const RunRecord& run) {
  const auto lines = [&](double EpochLine::*train, double EpochLine::*val) {
    std::vector<Line> both = {{"training", over_epochs(run, train)}};
    if (run.config.data.validation_size > 0) both.push_back({"validation", over_epochs(run, val)});
    return both;
  };
  const auto line = [&](const char* name, double EpochLine::*value) {
    return std::vector<Line>{{name, over_epochs(run, value)}};
  };
  return {
      {"loss", {"Loss", "epoch", lines(&EpochLine::train_loss, &EpochLine::val_loss)}},
      {"accuracy",
       {"Accuracy", "epoch", lines(&EpochLine::train_accuracy, &EpochLine::val_accuracy), true}},
      {"learning-rate",
       {"Learning rate at the end of the epoch", "epoch",
        line("learning rate", &EpochLine::learning_rate), false, true}},
      {"throughput",
       {"Training images per second", "epoch", line("images/s", &EpochLine::images_per_second),
        false, true}},
  };
}

}  // namespace cifar

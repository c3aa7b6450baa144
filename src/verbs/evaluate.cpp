#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "train/evaluation.h"
#include "verbs/trained.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

void print_table(const Confusion& confusion, const Log& log) {
  log.line(fmt::format("{:<12}{:>8}{:>10}{:>10}  {}", "class", "images", "correct", "accuracy",
                       "most often taken for"));
  for (int64_t label = 0; label < kClasses; ++label) {
    const int64_t mistake = confusion.most_frequent_mistake(label);
    std::string line = fmt::format(
        "{:<12}{:>8}{:>10}{:>10}", kClassNames[label], confusion.samples(label),
        confusion.right(label),
        confusion.samples(label) == 0 ? "-" : fmt::format("{:.4f}", confusion.accuracy(label)));
    if (mistake >= 0) {
      line += fmt::format("  {} ({})", kClassNames[mistake], confusion.counts[label][mistake]);
    }
    log.line(line);
  }
}

Json json_of(const Trained& trained, const EvaluationResult& result, const Confusion& confusion) {
  Json json = {{"checkpoint", trained.file},
               {"step", trained.checkpoint ? Json(trained.checkpoint->position.step) : Json()},
               {"split", trained.config.evaluate.split},
               {"tta", trained.config.train.tta},
               {"tta_uncertain", trained.config.train.tta_uncertain},
               {"samples", result.samples},
               {"loss", result.loss},
               {"correct", result.correct},
               {"accuracy", result.accuracy()}};
  for (int64_t label = 0; label < kClasses; ++label) {
    const int64_t samples = confusion.samples(label);
    json["classes"].push_back({{"class", kClassNames[label]},
                               {"samples", samples},
                               {"correct", confusion.right(label)},
                               {"accuracy", samples ? Json(confusion.accuracy(label)) : Json()}});
  }
  json["confusion"] = confusion.counts;  // a row a class, a column an answer
  return json;
}

}  // namespace

ExitCode evaluate(const Invocation& invocation) {
  // Every rank reads the file, so it must be visible on every host.
  const Trained trained = load_trained(invocation);
  const Config& config = trained.config;
  const auto predictions =
      predictions_of(trained, open_split(config.data, config.evaluate.split), invocation);
  const EvaluationResult result = summary_of(predictions);
  if (!std::isfinite(result.loss)) {
    throw Error(ExitCode::kCheckpoint, trained.file, fmt::format("a loss of {}", result.loss),
                "weights that give a finite one");
  }
  const Confusion confusion(predictions);
  const Log& log = invocation.log;
  if (config.evaluate.json) {
    log.line(json_text(json_of(trained, result, confusion)));
    return ExitCode::kDone;
  }
  log.line(title_of(trained));
  print_table(confusion, log);
  log.line(fmt::format("{} loss {:.4f}, accuracy {:.4f} ({} of {} images){}", config.evaluate.split,
                       result.loss, result.accuracy(), result.correct, result.samples,
                       TestTimeAugmentation(config.train).text()));
  return ExitCode::kDone;
}

}  // namespace cifar

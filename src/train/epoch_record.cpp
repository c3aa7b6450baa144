#include "train/epoch_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace cifar {

using Json = nlohmann::ordered_json;

double EpochRecord::images_per_second() const {
  return timed_samples == 0 ? 0 : static_cast<double>(timed_samples) / train_seconds;
}

double EpochRecord::train_loss() const {
  return position.loss_sum / static_cast<double>(position.samples);
}

double EpochRecord::train_accuracy() const {
  return position.correct / static_cast<double>(position.samples);
}

std::string EpochRecord::text() const {
  std::string text = fmt::format("epoch {:>3}/{}  train loss {:.4f} accuracy {:.4f}",
                                 position.epoch + 1, epochs, train_loss(), train_accuracy());
  if (val.samples > 0) {
    text += fmt::format("  val loss {:.4f} accuracy {:.4f}", val.loss, val.accuracy());
  }
  if (!whole) text += fmt::format("  broken off at step {}", position.step);
  return text + fmt::format("  {:.0f} images/s  {:.1f} s", images_per_second(),
                            train_seconds + validation_seconds);
}

std::string EpochRecord::json() const {
  const auto seconds = [&](Phase phase) { return phases[static_cast<size_t>(phase)]; };
  Json object = {{"epoch", position.epoch + 1},
                 {"step", position.step},
                 {"train_loss", train_loss()},
                 {"train_accuracy", train_accuracy()}};
  object["val_loss"] = val.samples > 0 ? Json(val.loss) : Json();
  object["val_accuracy"] = val.samples > 0 ? Json(val.accuracy()) : Json();
  object["learning_rate"] = learning_rate;
  object["images_per_second"] = images_per_second();
  object["seconds_train"] = train_seconds;
  object["seconds_data"] = seconds(Phase::kData);
  object["seconds_compute"] = seconds(Phase::kCompute);
  object["seconds_communication"] = seconds(Phase::kCommunication);
  object["seconds_validation"] = validation_seconds;
  object["seconds_checkpoint"] = checkpoint_seconds;
  if (!whole) object["partial"] = true;
  return object.dump();
}

std::string test_json(const Position& position, const EvaluationResult& result,
                      const TestTimeAugmentation& tta) {
  return Json{{"epoch", position.epoch},  {"step", position.step},
              {"test_loss", result.loss}, {"test_accuracy", result.accuracy()},
              {"tta", tta.views},         {"tta_uncertain", tta.uncertain}}
      .dump();
}

}  // namespace cifar

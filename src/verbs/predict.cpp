#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "data/batches.h"
#include "data/pictures.h"
#include "train/precision.h"
#include "verbs/setup.h"
#include "verbs/trained.h"

namespace cifar {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kTop = 3;
constexpr size_t kBlock = 64;  // pictures in memory at a time

struct Picture {
  std::string file;
  std::optional<Error> error;
};

class Classifier {
 public:
  Classifier(const Trained& trained, torch::Device device)
      : trained_(trained), device_(device), precision_(trained.config.train.precision, device) {
    precision_.apply(/*deterministic=*/true);
    trained_.network->to(device_);
  }

  // float32 [pictures, classes], on the CPU.
  torch::Tensor probabilities(const std::vector<RgbImage>& squares) const {
    torch::NoGradGuard no_grad;
    const Precision::Scope scope(precision_);
    const auto count = static_cast<int64_t>(squares.size());
    if (count == 0) return {};
    Batches batches(std::make_shared<ResidentSet>(set_of(squares), device_),
                    trained_.config.augmentation, false, 0);
    std::vector<int32_t> order(squares.size());
    std::iota(order.begin(), order.end(), 0);
    batches.set_order(order, 0);
    const auto logits = trained_.network->forward(batches.get(0, count).images, Pass{});
    const auto probabilities = logits.to(torch::kFloat32).softmax(1).cpu();
    if (!torch::isfinite(probabilities).all().item<bool>()) {
      throw Error(ExitCode::kCheckpoint, trained_.file, "weights that give NaN as an answer",
                  "weights that give finite probabilities");
    }
    return probabilities;
  }

 private:
  const Trained& trained_;
  torch::Device device_;
  Precision precision_;
};

std::string answer(const std::string& file, const torch::Tensor& probabilities, bool as_json) {
  const auto [values, classes] = probabilities.topk(kTop);
  std::string text = file + ":";
  Json json = {{"file", file}};
  for (int64_t i = 0; i < kTop; ++i) {
    const char* name = kClassNames[classes[i].item<int64_t>()];
    const auto probability = values[i].item<double>();
    text += fmt::format("{} {} {:.4f}", i == 0 ? "" : ",", name, probability);
    json["classes"].push_back({{"class", name}, {"probability", probability}});
  }
  return as_json ? json_text(json) : text;
}

// A file, or why there is none: each argument's, in order.
std::vector<Picture> pictures_of(const std::vector<std::string>& arguments) {
  std::vector<Picture> pictures;
  for (const std::string& argument : arguments) {
    try {
      for (const std::string& file : picture_files(argument)) pictures.push_back({file, {}});
    } catch (const Error& error) {
      pictures.push_back({argument, error});
    }
  }
  return pictures;
}

// The square of a picture; one that cannot be read gets its error instead.
void read(Picture& picture, std::vector<RgbImage>& squares) {
  if (picture.error) return;
  try {
    squares.push_back(centre_square(read_picture(picture.file), kImageSize));
  } catch (const Error& error) {
    picture.error = error;
  }
}

}  // namespace

ExitCode predict(const Invocation& invocation) {
  const World& world = invocation.world;
  if (invocation.line.arguments.empty()) {
    throw Error(ExitCode::kUsage, "predict", "no picture", "PNG or JPEG files, or folders of them");
  }
  const Trained trained = load_trained(invocation);
  const Config& config = trained.config;
  const DeviceChoice device = choose_device(config.run.device, config.run.comm, world);
  set_threads(invocation.line.config.train, device, world);
  const Classifier classifier(trained, device.device);
  const bool as_json = config.evaluate.json;
  if (!as_json) invocation.log.line(title_of(trained));

  std::vector<Picture> pictures = pictures_of(invocation.line.arguments);
  ExitCode code = ExitCode::kDone;
  for (size_t first = 0; first < pictures.size(); first += kBlock) {
    const size_t end = std::min(first + kBlock, pictures.size());
    std::vector<RgbImage> squares;
    for (size_t i = first; i < end; ++i) read(pictures[i], squares);
    const auto probabilities = classifier.probabilities(squares);
    int64_t row = 0;
    for (size_t i = first; i < end; ++i) {
      const auto& [file, error] = pictures[i];
      if (!error) {
        invocation.log.line(answer(file, probabilities[row++], as_json));
        continue;
      }
      code = error->code();
      if (as_json) invocation.log.line(json_text({{"file", file}, {"error", error->what()}}));
      if (world.rank() == 0) print_error(error->what(), world.context(error->where()));
    }
  }
  return code;
}

}  // namespace cifar

#include "train/predictions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "parallel/shards.h"

namespace cifar {
namespace {

// On the CPU 20 blocks of the validation split: even on 2, 4, 5 and 10 ranks. A GPU wants more at
// once.
int64_t block_of(torch::Device device) {
  return device.is_cuda() ? 1000 : 250;
}

struct View {
  Placement placement;
  double weight;
};

// The image itself first.
std::vector<View> views_of(const std::string& name) {
  if (name == "mirror") return {{{0, 0, false}, 0.5}, {{0, 0, true}, 0.5}};
  if (name == "shift") {
    return {{{0, 0, false}, 0.25},   {{0, 0, true}, 0.25},   {{-1, -1, false}, 0.125},
            {{-1, -1, true}, 0.125}, {{1, 1, false}, 0.125}, {{1, 1, true}, 0.125}};
  }
  return {{{0, 0, false}, 1}};
}

// int64: the places of the `count` rows whose largest probability is lowest, in order.
torch::Tensor least_sure(const torch::Tensor& logits, int64_t count) {
  const auto probability = std::get<0>(logits.to(torch::kFloat64).softmax(1).max(1));
  const auto by_probability = torch::argsort(probability, /*stable=*/true, 0, false);
  return std::get<0>(by_probability.narrow(0, 0, count).sort());
}

std::vector<Prediction> predictions_from(const torch::Tensor& rows) {
  const auto logits = rows.narrow(1, 0, kClasses).to(torch::kFloat64);
  const auto labels = rows.narrow(1, kClasses, 1).to(torch::kInt64);
  const auto log_probabilities = logits.log_softmax(1);
  const auto guesses = logits.argmax(1, /*keepdim=*/true);
  const auto table =
      torch::cat({labels.to(torch::kFloat64), guesses.to(torch::kFloat64),
                  log_probabilities.gather(1, guesses).exp(), -log_probabilities.gather(1, labels)},
                 1)
          .cpu();
  const auto row = table.accessor<double, 2>();
  std::vector<Prediction> predictions(rows.size(0));
  for (int64_t i = 0; i < rows.size(0); ++i) {
    predictions[i] = {static_cast<int64_t>(row[i][0]), static_cast<int64_t>(row[i][1]), row[i][2],
                      row[i][3]};
  }
  return predictions;
}

}  // namespace

std::string TestTimeAugmentation::text() const {
  if (views == "none") return "";
  return " with tta " + views +
         (uncertain < 1 ? fmt::format(" for the least sure {:.4g} %", 100 * uncertain) : "");
}

Predictor::Predictor(Network& network, Batches& batches, int64_t samples, const std::string& how,
                     const Precision& precision, Communicator& comm,
                     const TestTimeAugmentation& tta, bool graphs)
    : network_(network),
      batches_(batches),
      samples_(samples),
      alone_(how == "rank0"),
      precision_(precision),
      comm_(comm),
      tta_(tta),
      replay_(batches.set()->device(), graphs) {
  const torch::Device device = batches.set()->device();
  const int64_t images = std::clamp(samples, int64_t{1}, block_of(device));
  const auto options = torch::TensorOptions().device(device);
  block_ = torch::zeros({images}, options.dtype(torch::kInt32));
  answers_ = torch::zeros({images, kClasses + 1}, options.dtype(torch::kFloat32));
  batches.reserve(images);
}

std::vector<Prediction> Predictor::predict() {
  torch::NoGradGuard no_grad;
  const std::vector<View> views = views_of(tta_.views);
  const auto order = batches_.order().narrow(0, 0, samples_);
  const auto rows = this->rows(order, 0);
  const auto logits = rows.narrow(1, 0, kClasses);
  const int64_t uncertain = std::llround(tta_.uncertain * static_cast<double>(samples_));
  if (views.size() > 1 && uncertain > 0) {
    const auto places = least_sure(logits, uncertain);
    const auto mean = logits.index_select(0, places).mul_(views[0].weight);
    for (size_t i = 1; i < views.size(); ++i) {
      const auto seen = this->rows(order.index_select(0, places), i);
      mean.add_(seen.narrow(1, 0, kClasses), views[i].weight);
    }
    logits.index_copy_(0, places, mean);
  }
  return predictions_from(rows);
}

// float32 [n, kClasses + 1]: the logits for a view of each of `samples`, and the label.
torch::Tensor Predictor::rows(const torch::Tensor& samples, size_t view) {
  const std::vector<View> views = views_of(tta_.views);
  const int64_t count = samples.size(0), images = block_.size(0);
  const int64_t blocks = (count + images - 1) / images;
  const Range mine = !alone_             ? part_of(blocks, comm_.size(), comm_.rank())
                     : comm_.rank() == 0 ? Range{0, blocks}
                                         : Range{};
  auto rows = torch::zeros({count, kClasses + 1}, answers_.options());
  for (int64_t block = mine.first; block < mine.end(); ++block) {
    const int64_t first = block * images, size = std::min(images, count - first);
    block_.narrow(0, 0, size).copy_(samples.narrow(0, first, size));
    const auto variant = size * static_cast<int64_t>(views.size()) + static_cast<int64_t>(view);
    replay_.run(variant, [&] { ask(size, views[view].placement); });
    rows.narrow(0, first, size).copy_(answers_.narrow(0, 0, size));
  }
  // All but one rank hold zeros for a row, so this sum is exact.
  comm_.all_reduce_sum(rows);
  return rows;
}

// From block_ into answers_, by nothing that the host knows but what tells one graph from another.
void Predictor::ask(int64_t count, const Placement& view) {
  const Precision::Scope scope(precision_);
  const Batch batch = batches_.get(block_.narrow(0, 0, count), view);
  const auto part = answers_.narrow(0, 0, count);
  part.narrow(1, 0, kClasses).copy_(network_.forward(batch.images, Pass{}));
  part.select(1, kClasses).copy_(batch.labels);
}

Confusion::Confusion(const std::vector<Prediction>& predictions) {
  for (const Prediction& prediction : predictions) ++counts[prediction.label][prediction.guess];
}

int64_t Confusion::samples(int64_t label) const {
  return std::accumulate(counts[label].begin(), counts[label].end(), int64_t{0});
}

double Confusion::accuracy(int64_t label) const {
  const int64_t all = samples(label);
  return all == 0 ? 0 : static_cast<double>(right(label)) / static_cast<double>(all);
}

int64_t Confusion::most_frequent_mistake(int64_t label) const {
  auto wrong = counts[label];
  wrong[label] = 0;
  const auto most = std::max_element(wrong.begin(), wrong.end());
  return *most == 0 ? -1 : most - wrong.begin();
}

std::vector<size_t> confident_mistakes(const std::vector<Prediction>& predictions, size_t most) {
  std::vector<size_t> places;
  for (size_t i = 0; i < predictions.size(); ++i) {
    if (!predictions[i].right()) places.push_back(i);
  }
  std::ranges::stable_sort(places, std::ranges::greater(),
                           [&](size_t i) { return predictions[i].probability; });
  places.resize(std::min(most, places.size()));
  return places;
}

}  // namespace cifar

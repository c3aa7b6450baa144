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

Range my_blocks(int64_t blocks, const std::string& how, const Communicator& comm) {
  if (how == "rank0") return comm.rank() == 0 ? Range{0, blocks} : Range{};
  return part_of(blocks, comm.size(), comm.rank());
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

class Predictor {
 public:
  Predictor(Network& network, Batches& batches, const std::string& how, Communicator& comm)
      : network_(network), batches_(batches), how_(how), comm_(comm) {}

  // float32 [n, kClasses + 1]: the logits for a view of each of `samples`, and the label.
  torch::Tensor rows(const torch::Tensor& samples, const Placement& view) {
    const int64_t count = samples.size(0);
    const int64_t images = block_of(samples.device());
    const Range mine = my_blocks((count + images - 1) / images, how_, comm_);
    auto rows = torch::zeros({count, kClasses + 1}, samples.options().dtype(torch::kFloat32));
    for (int64_t block = mine.first; block < mine.end(); ++block) {
      const int64_t first = block * images, size = std::min(images, count - first);
      const Batch batch = batches_.get(samples.narrow(0, first, size), view);
      const auto part = rows.narrow(0, first, size);
      part.narrow(1, 0, kClasses).copy_(network_.forward(batch.images, Pass{}));
      part.select(1, kClasses).copy_(batch.labels);
    }
    // All but one rank hold zeros for a row, so this sum is exact.
    comm_.all_reduce_sum(rows);
    return rows;
  }

 private:
  Network& network_;
  Batches& batches_;
  const std::string& how_;
  Communicator& comm_;
};

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

std::vector<Prediction> predict(Network& network, Batches& batches, int64_t samples,
                                const std::string& how, const Precision& precision,
                                Communicator& comm, const TestTimeAugmentation& tta) {
  torch::NoGradGuard no_grad;
  const Precision::Scope scope(precision);
  const std::vector<View> views = views_of(tta.views);
  const auto order = batches.order().narrow(0, 0, samples);
  Predictor predictor(network, batches, how, comm);
  const auto rows = predictor.rows(order, views[0].placement);
  const auto logits = rows.narrow(1, 0, kClasses);
  const int64_t uncertain = std::llround(tta.uncertain * static_cast<double>(samples));
  if (views.size() > 1 && uncertain > 0) {
    const auto places = least_sure(logits, uncertain);
    const auto mean = logits.index_select(0, places).mul_(views[0].weight);
    for (size_t i = 1; i < views.size(); ++i) {
      const auto seen = predictor.rows(order.index_select(0, places), views[i].placement);
      mean.add_(seen.narrow(1, 0, kClasses), views[i].weight);
    }
    logits.index_copy_(0, places, mean);
  }
  return predictions_from(rows);
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

#include "train/predictions.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "parallel/shards.h"

namespace cifar {
namespace {

constexpr int64_t kBlock = 250;  // 20 blocks of the validation split: even on 2, 4, 5 and 10 ranks

Range my_blocks(int64_t blocks, const std::string& how, const Communicator& comm) {
  if (how == "rank0") return comm.rank() == 0 ? Range{0, blocks} : Range{};
  return part_of(blocks, comm.size(), comm.rank());
}

// [n, 4]: label, guess, its probability, loss.
torch::Tensor rows_of(const torch::Tensor& logits, const torch::Tensor& labels) {
  const auto log_probabilities = logits.to(torch::kFloat64).log_softmax(1);
  const auto guesses = logits.argmax(1, /*keepdim=*/true);
  const auto label_column = labels.unsqueeze(1);
  return torch::cat(
      {label_column.to(torch::kFloat64), guesses.to(torch::kFloat64),
       log_probabilities.gather(1, guesses).exp(), -log_probabilities.gather(1, label_column)},
      1);
}

}  // namespace

std::vector<Prediction> predict(Network& network, Batches& batches, int64_t samples,
                                const std::string& how, const Precision& precision,
                                Communicator& comm) {
  torch::NoGradGuard no_grad;
  const Precision::Scope scope(precision);
  const Range mine = my_blocks((samples + kBlock - 1) / kBlock, how, comm);
  const auto device = network.parameters().front().device();
  auto rows = torch::zeros({samples, 4}, torch::TensorOptions(torch::kFloat64).device(device));
  for (int64_t block = mine.first; block < mine.end(); ++block) {
    const int64_t first = block * kBlock, count = std::min(kBlock, samples - first);
    const Batch batch = batches.get(first, count);
    const auto logits = network.forward(batch.images, Pass{}).to(torch::kFloat32);
    rows.narrow(0, first, count).copy_(rows_of(logits, batch.labels));
  }
  // All but one rank hold zeros for a row, so this sum is exact.
  comm.all_reduce_sum(rows);

  const auto host = rows.cpu();
  const auto row = host.accessor<double, 2>();
  std::vector<Prediction> predictions(samples);
  for (int64_t i = 0; i < samples; ++i) {
    predictions[i] = {static_cast<int64_t>(row[i][0]), static_cast<int64_t>(row[i][1]), row[i][2],
                      row[i][3]};
  }
  return predictions;
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

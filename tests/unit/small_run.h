// A small training for tests: random images, a recipe for a small network, and one step's gradient
// by plain autograd in float64, which knows no shards, ranks or flat state.
#pragma once

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "config/load.h"
#include "data/batches.h"
#include "parallel/shards.h"
#include "train/state.h"
#include "train/step.h"

namespace cifar {

// Image i has label i % 10.
inline ImageSet random_images(int64_t count) {
  torch::manual_seed(1);
  const auto bytes = torch::randint(0, 256, {count, kRecordBytes}, torch::kUInt8);
  bytes.select(1, 0).copy_(torch::arange(count) % kClasses);
  return ImageSet({{{bytes.const_data_ptr<uint8_t>(), [bytes](const uint8_t*) {}}, count}});
}

// As article.toml has it: ordered, eight shards.
inline Config small_config(const std::vector<std::string>& layers) {
  Config config = article_config();
  config.model.layers = layers;
  config.train.batch_size = 16;
  return config;
}

// Not the identity, so that position and image index differ.
inline std::vector<int32_t> backwards(int64_t count) {
  std::vector<int32_t> order(count);
  std::iota(order.rbegin(), order.rend(), 0);
  return order;
}

// Images as ToTensor makes them, and labels: of the samples that `order` names from `first` on.
struct PlainBatch {
  PlainBatch(const ImageSet& set, const std::vector<int32_t>& order, const Range& range)
      : images(torch::empty({range.count, kChannels, kImageSize, kImageSize}, torch::kFloat64)),
        labels(torch::empty({range.count}, torch::kInt64)),
        samples(torch::empty({range.count}, torch::kInt32)) {
    for (int64_t i = 0; i < range.count; ++i) {
      const int32_t sample = order[range.first + i];
      double* image = images[i].data_ptr<double>();
      for (int k = 0; k < kImageBytes; ++k) image[k] = set.image(sample)[k] / 255.0;
      labels[i] = set.label(sample);
      samples[i] = sample;
    }
  }
  torch::Tensor images, labels, samples;
};

struct ExpectedStep {
  std::vector<torch::Tensor> gradients;  // of the mean loss, or of the sum
  std::vector<torch::Tensor> buffers;    // after the step: the weighted mean over shards
  double loss = 0;                       // mean
  int64_t correct = 0;
};

// One step over the first `samples` samples of `order`, the network seeing `shards` parts of them.
inline ExpectedStep expected_step(const Config& config, const ImageSet& set,
                                  const std::vector<int32_t>& order, int64_t samples,
                                  int64_t shards = 1) {
  ExpectedStep expected;
  for (int64_t shard = 0; shard < shards; ++shard) {
    const Range part = part_of(samples, shards, shard);
    if (part.count == 0) continue;
    const auto network = make_network(config);
    network->to(torch::kFloat64);
    const PlainBatch batch(set, order, part);
    const Pass pass{true, static_cast<uint64_t>(config.train.seed), 0, batch.samples};
    const auto logits = network->forward(batch.images, pass);
    const auto sum = torch::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum, -100,
                                               config.train.label_smoothing);
    const auto loss = sum / static_cast<double>(samples);
    const auto gradients = torch::autograd::grad(
        {config.train.loss_reduction == "sum" ? sum : loss}, network->parameters());
    const double weight = static_cast<double>(part.count) / static_cast<double>(samples);
    const auto add = [](std::vector<torch::Tensor>& sums, size_t i, const torch::Tensor& term) {
      sums.resize(std::max(sums.size(), i + 1));
      sums[i] = sums[i].defined() ? sums[i] + term : term;
    };
    for (size_t i = 0; i < gradients.size(); ++i) add(expected.gradients, i, gradients[i]);
    for (size_t i = 0; i < network->buffers().size(); ++i) {
      add(expected.buffers, i, network->buffers()[i] * weight);
    }
    expected.loss += loss.item<double>();
    expected.correct += logits.argmax(1).eq(batch.labels).sum().item<int64_t>();
  }
  return expected;
}

// `found` within `tolerance` of the largest element of `expected`.
inline void expect_near(const torch::Tensor& found, const torch::Tensor& expected, double tolerance,
                        const std::string& name) {
  const auto wanted = expected.detach().to(torch::kFloat64);
  const double error =
      (found.detach().cpu().to(torch::kFloat64) - wanted).abs().max().item<double>();
  EXPECT_LE(error, tolerance * wanted.abs().max().item<double>()) << name;
}

inline void expect_step(const FlatState& state, const ExpectedStep& expected, double tolerance) {
  for (size_t i = 0; i < expected.gradients.size(); ++i) {
    const FlatEntry& entry = state.parameter_entries()[i];
    expect_near(entry.tensor.grad(), expected.gradients[i], tolerance, entry.name);
  }
  for (size_t i = 0; i < expected.buffers.size(); ++i) {
    const FlatEntry& entry = state.buffer_entries()[i];
    expect_near(entry.tensor, expected.buffers[i], tolerance, entry.name);
  }
  EXPECT_NEAR(state.metrics()[0].item<double>(), expected.loss, tolerance * expected.loss);
  EXPECT_EQ(state.metrics()[1].item<double>(), static_cast<double>(expected.correct));
}

// What a rank needs to run steps on `device`.
struct Stepper {
  Stepper(const Config& config, const ImageSet& set, const std::vector<int32_t>& order,
          TrainState& state, Communicator& comm, torch::Device device = torch::kCPU)
      : batches(std::make_shared<ResidentSet>(set, device), config.augmentation, true,
                static_cast<uint64_t>(config.train.seed)),
        timer(device),
        step(config.train, state, batches, comm, timer) {
    batches.set_order(order, 0);
  }

  void run(const Range& samples, double learning_rate = 0.001, bool stop = false) {
    step.run({samples, 0, {learning_rate}, stop, /*checkpoint_wanted=*/false});
  }

  Batches batches;
  PhaseTimer timer;
  TrainStep step;
};

}  // namespace cifar

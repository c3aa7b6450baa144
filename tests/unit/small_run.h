// A small training for tests: random images, a recipe for a small network, and one step's gradient
// by plain autograd in float64, which knows no shards, ranks or flat state.
#pragma once

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "config/load.h"
#include "data/batches.h"
#include "parallel/shards.h"
#include "train/state.h"
#include "train/step.h"
#include "trainable.h"

namespace cifar {

// Image i has label i % 10.
inline ImageSet random_images(int64_t count) {
  torch::manual_seed(1);
  const auto bytes = torch::randint(0, 256, {count, kRecordBytes}, torch::kUInt8);
  bytes.select(1, 0).copy_(torch::arange(count) % kClasses);
  return ImageSet({{{bytes.const_data_ptr<uint8_t>(), [bytes](const uint8_t*) {}}, count}});
}

// One of each kind that the article's network lacks; batch-norm takes no bias before it away.
inline const std::vector<std::string> kRecordLayers = {"whiten 2",
                                                       "gelu",
                                                       "conv 32 no-bias dirac",
                                                       "pool max 2",
                                                       "batch-norm no-scale",
                                                       "gelu",
                                                       "residual",
                                                       "conv 32 no-bias",
                                                       "silu",
                                                       "add",
                                                       "pool max 3",
                                                       "flatten",
                                                       "linear 10 no-bias unit-std",
                                                       "scale 1/2"};

// As article.toml has it: ordered, eight shards.
inline Config small_config(const std::vector<std::string>& layers) {
  Config config = article_config();
  config.model.layers = layers;
  config.train.batch_size = 16;
  return config;
}

// A network for each rank: a forward pass keeps what it packs for the kernels.
inline std::vector<std::shared_ptr<Network>> networks(const Config& config, int ranks) {
  std::vector<std::shared_ptr<Network>> made;
  for (int rank = 0; rank < ranks; ++rank) made.push_back(make_network(config));
  return made;
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
  // By name, of the mean loss, or of the sum; zeros where frozen.
  std::map<std::string, torch::Tensor> gradients;
  std::vector<torch::Tensor> buffers;  // after the step: the weighted mean over shards
  double loss = 0;                     // mean
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
    const StepValues now{.seed = static_cast<uint64_t>(config.train.seed)};
    const Pass pass{true, &now, batch.samples};
    const auto logits = network->forward(batch.images, pass);
    const auto sum = torch::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Sum, -100,
                                               config.train.label_smoothing);
    const auto loss = sum / static_cast<double>(samples);
    const auto leaves = trainable(*network);
    const auto gradients =
        torch::autograd::grad({config.train.loss_reduction == "sum" ? sum : loss}, leaves);
    for (size_t next = 0; const auto& item : network->named_parameters()) {
      auto& total = expected.gradients[item.key()];
      if (!total.defined()) total = torch::zeros_like(item.value());
      if (item.value().requires_grad()) total = total + gradients[next++];
    }
    const double weight = static_cast<double>(part.count) / static_cast<double>(samples);
    expected.buffers.resize(network->buffers().size());
    for (size_t i = 0; i < expected.buffers.size(); ++i) {
      const auto part_of_mean = network->buffers()[i] * weight;
      auto& mean = expected.buffers[i];
      mean = mean.defined() ? mean + part_of_mean : part_of_mean;
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
  for (const FlatEntry& entry : state.parameter_entries()) {
    expect_near(view_like(state.gradients(), entry), expected.gradients.at(entry.name), tolerance,
                entry.name);
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
          TrainState& state, Communicator& comm, torch::Device device = torch::kCPU,
          bool graphs = false)
      : batches(std::make_shared<ResidentSet>(set, device), config.augmentation, true,
                static_cast<uint64_t>(config.train.seed)),
        timer(device),
        meter(state.flat),
        state(state),
        seed(static_cast<uint64_t>(config.train.seed)),
        step(config.train, state, batches, comm, timer, meter, /*longest_plan=*/1, graphs) {
    batches.set_order(order, 0);
  }

  void run(const Range& samples, double learning_rate = 0.001, bool stop = false) {
    run(samples, std::vector<double>{learning_rate}, stop);
  }

  // With a rate for each optimizer.
  void run(const Range& samples, const std::vector<double>& learning_rates, bool stop = false) {
    step.plan({{samples, {samples.first, state.updates() + 1, epoch, seed}, learning_rates}});
    step.run({stop, /*checkpoint=*/false});
  }

  Batches batches;
  PhaseTimer timer;
  Meter meter;
  TrainState& state;
  uint64_t seed;
  int64_t epoch = 0;
  TrainStep step;
};

}  // namespace cifar

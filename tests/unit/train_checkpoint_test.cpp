// Checkpoints in memory and as bytes: the way there and back, and every kind of damage.
#include <caffe2/serialize/inline_container.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <cmath>
#include <string>

#include "refusal.h"
#include "sealed.h"
#include "small_run.h"
#include "train/checkpoint.h"

namespace cifar {
namespace {

using testing::HasSubstr;

constexpr ExitCode kCode = ExitCode::kCheckpoint;
const std::vector<std::string> kLayers = {"conv 4",     "batch-norm", "relu",
                                          "pool max 8", "flatten",    "linear 10"};

Config config_with(const std::string& optimizer, uint64_t seed = 42) {
  Config config = small_config(kLayers);
  config.optimizer.name = optimizer;
  config.train.seed = static_cast<int64_t>(seed);
  return config;
}

// A state whose every number differs from a fresh one.
TrainState trained(const std::string& optimizer = "adam") {
  TrainState state(config_with(optimizer), torch::kCPU);
  torch::NoGradGuard no_grad;
  for (const FlatEntry& entry : state.flat.parameter_entries()) entry.tensor.add_(0.5);
  for (const FlatEntry& entry : state.flat.buffer_entries()) entry.tensor.add_(0.25);
  double value = 1;
  for (const auto& [name, tensor] : state.groups.front().optimizer->state()) {
    for (const FlatEntry& entry : state.flat.parameter_entries()) {
      view_like(tensor, entry).copy_(torch::rand(entry.tensor.sizes()) + value++);
    }
  }
  state.set_updates(7);
  state.position = {1, 2, 3, 45, 6.5, 7};
  state.data_hash = "0123";
  return state;
}

std::string bytes_of(const std::string& optimizer = "adam") {
  return serialize(take_checkpoint(trained(optimizer), "epochs = 3\n"));
}

std::string refused(const std::string& bytes) {
  return refusal(kCode, [&] { deserialize(bytes, "step-3.pt"); });
}

TEST(Checkpoint, BringsEverythingBack) {
  for (const std::string optimizer : {"adam", "adamw", "sgd"}) {
    SCOPED_TRACE(optimizer);
    const TrainState before = trained(optimizer);
    const Checkpoint found =
        deserialize(serialize(take_checkpoint(before, "epochs = 3\n")), "file");
    EXPECT_EQ(found.recipe, "epochs = 3\n");
    EXPECT_EQ(found.optimizer, optimizer);
    EXPECT_EQ(found.data_hash, "0123");

    TrainState after(config_with(optimizer, 43), torch::kCPU);
    ASSERT_NE(after.flat.hash(), before.flat.hash());
    restore(found, "file", after);
    EXPECT_EQ(after.flat.hash(), before.flat.hash());
    EXPECT_TRUE(torch::equal(after.flat.parameters(), before.flat.parameters()));
    EXPECT_EQ(after.updates(), 7);
    for (size_t i = 0; i < before.groups.front().optimizer->state().size(); ++i) {
      EXPECT_TRUE(torch::equal(after.groups.front().optimizer->state()[i].second,
                               before.groups.front().optimizer->state()[i].second));
    }
    EXPECT_EQ(after.position.epoch, 1);
    EXPECT_EQ(after.position.step_in_epoch, 2);
    EXPECT_EQ(after.position.step, 3);
    EXPECT_EQ(after.position.samples, 45);
    EXPECT_EQ(after.position.loss_sum, 6.5);
    EXPECT_EQ(after.position.correct, 7);
  }
}

TEST(Checkpoint, OfAnOlderVersionDoesNotKnowTheImages) {
  const std::string key = "data_hash";
  std::string bytes = bytes_of();
  for (size_t at = bytes.find(key); at != std::string::npos; at = bytes.find(key)) {
    bytes.replace(at, key.size(), "some_note");
  }
  const Checkpoint found =
      deserialize(sealed(bytes.substr(0, bytes.rfind("\ncifar-ddp checkpoint hash "))), "file");
  EXPECT_EQ(found.data_hash, "");
  EXPECT_EQ(found.position.step, 3);
}

TEST(Checkpoint, IsACopy) {
  const TrainState state = trained();
  const Checkpoint checkpoint = take_checkpoint(state, "");
  const auto before = checkpoint.model.at("0.weight").clone();
  state.flat.parameters().zero_();
  EXPECT_TRUE(torch::equal(checkpoint.model.at("0.weight"), before));
}

TEST(Checkpoint, TheSameStateGivesTheSameBytes) {
  const Checkpoint checkpoint = take_checkpoint(trained(), "");
  EXPECT_EQ(serialize(checkpoint), serialize(checkpoint));
}

TEST(Checkpoint, RestoresTheWeightsAlone) {
  const TrainState before = trained();
  const auto network = make_network(config_with("adam", 43));
  restore_weights(take_checkpoint(before, "").model, "file", *network);
  EXPECT_EQ(FlatState(*network, torch::kCPU).hash(), before.flat.hash());
}

TEST(Deserialize, ReadsLargeNumbersAndManyTensorsOfAnyShape) {
  Checkpoint before;
  before.position = {300, 70000, int64_t{1} << 40, -1, -1e300, 0.1};
  before.recipe = std::string(100000, 'x') + "\n\xc3\xa9";
  before.optimizer_steps = int64_t{1} << 62;
  for (int64_t i = 0; i < 300; ++i) {  // more than a byte numbers
    std::vector<int64_t> sizes;
    for (int64_t dimension = 0; dimension < i % 5; ++dimension) sizes.push_back(1 + i % 3);
    before.model["tensor " + std::to_string(i)] = torch::rand(sizes);
  }
  // Contiguous, though its strides are not the usual ones.
  before.model["channels"] = torch::rand({4, 1, 3, 3}).as_strided({4, 1, 3, 3}, {9, 1, 3, 1});
  const Checkpoint after = deserialize(serialize(before), "file");
  EXPECT_EQ(after.position.step_in_epoch, 70000);
  EXPECT_EQ(after.position.step, int64_t{1} << 40);
  EXPECT_EQ(after.position.samples, -1);
  EXPECT_EQ(after.position.loss_sum, -1e300);
  EXPECT_EQ(after.recipe, before.recipe);
  EXPECT_EQ(after.optimizer_steps, int64_t{1} << 62);
  ASSERT_EQ(after.model.size(), before.model.size());
  for (const auto& [name, tensor] : before.model) {
    EXPECT_TRUE(torch::equal(after.model.at(name), tensor)) << name;
  }
}

TEST(Deserialize, RefusesBytesThatAreCutOff) {
  const std::string bytes = bytes_of();
  for (size_t size = 0; size < bytes.size(); size += size < 100 ? 1 : 97) {
    EXPECT_THAT(refused(bytes.substr(0, size)), HasSubstr("step-3.pt: ")) << size;
  }
  for (size_t missing = 1; missing < 100; ++missing) {
    EXPECT_THAT(refused(bytes.substr(0, bytes.size() - missing)), HasSubstr("is it cut off?"));
  }
}

TEST(Deserialize, RefusesAFlippedBitAnywhere) {
  std::string bytes = bytes_of();
  for (size_t i = 0; i < bytes.size(); i += i + 200 < bytes.size() ? 89 : 1) {
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
    EXPECT_THAT(refused(bytes), HasSubstr("step-3.pt: ")) << i;
    bytes[i] = static_cast<char>(bytes[i] ^ (1 << i % 8));
  }
  deserialize(bytes, "file");
}

TEST(Deserialize, RefusesBytesBehindTheEnd) {
  refused(bytes_of() + "x");
  refused(bytes_of() + bytes_of("sgd").substr(1));
}

// What another program might have put there, the trailer being right.
std::string archive_of(const c10::IValue& value) {
  std::string pickle, bytes;
  torch::jit::Pickler pickler([&](const char* data, size_t size) { pickle.append(data, size); },
                              nullptr, nullptr, nullptr, nullptr, false);
  pickler.protocol();
  pickler.pushIValue(value);
  pickler.stop();
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  writer.writeRecord("data.pkl", pickle.data(), pickle.size());
  writer.writeEndOfFile();
  return bytes;
}

c10::impl::GenericDict dict(const std::string& key, int64_t value) {
  c10::impl::GenericDict dict(c10::StringType::get(), c10::AnyType::get());
  dict.insert(key, value);
  return dict;
}

// Nothing else of a newer format need be as it is now.
TEST(Deserialize, RefusesANewerFormatAndSaysSo) {
  EXPECT_THAT(refused(sealed(archive_of(dict("format", 2)))),
              HasSubstr("step-3.pt: format 2; expected at most 1: a newer cifar-ddp wrote it"));
}

TEST(Deserialize, RefusesWhatIsNoCheckpoint) {
  for (const std::string& bytes :
       {sealed(""), sealed("PK"), sealed(archive_of(dict("format", 1))),
        sealed(archive_of(dict("model", 1))), sealed(archive_of(c10::IValue(int64_t{3}))),
        sealed(archive_of(c10::IValue("text")))}) {
    EXPECT_THAT(refused(bytes), HasSubstr("expected a checkpoint of cifar-ddp"));
  }
}

TEST(Restore, RefusesAnotherNetworkAndNamesTheTensor) {
  const Checkpoint checkpoint = deserialize(bytes_of(), "file");
  const auto message = [&](const std::vector<std::string>& layers) {
    TrainState state(small_config(layers), torch::kCPU);
    return refusal(kCode, [&] { restore(checkpoint, "step-3.pt", state); });
  };
  EXPECT_THAT(message({"conv 5", "batch-norm", "relu", "pool max 8", "flatten", "linear 10"}),
              HasSubstr("step-3.pt: tensor \"0.bias\" of [4]; expected a tensor of [5]"));
  EXPECT_THAT(
      message({"conv 4", "batch-norm", "relu", "pool max 8", "flatten", "linear 10 no-bias"}),
      HasSubstr("tensor \"5.bias\" of [10]; expected only tensors of the recipe's network"));
  EXPECT_THAT(
      message({"conv 4", "batch-norm", "relu", "pool max 8", "flatten", "linear 10", "linear 10"}),
      HasSubstr("no tensor \"6.bias\""));
}

TEST(Restore, RefusesNumbersThatAreNotFiniteAndNamesTheTensor) {
  for (const char* name : {"0.weight", "1.running_var"}) {
    Checkpoint checkpoint = take_checkpoint(trained(), "");
    checkpoint.model.at(name).flatten()[1] = std::nan("");
    TrainState state(config_with("adam"), torch::kCPU);
    const std::string expected = fmt::format("tensor \"{}\" has 1 of {} numbers that are NaN", name,
                                             checkpoint.model.at(name).numel());
    EXPECT_THAT(refusal(kCode, [&] { restore(checkpoint, "file", state); }), HasSubstr(expected));
  }
}

TEST(Restore, RefusesAnotherOptimizer) {
  TrainState state(config_with("sgd"), torch::kCPU);
  EXPECT_THAT(refusal(kCode, [&] { restore(deserialize(bytes_of(), "file"), "file", state); }),
              HasSubstr("the state of adam; expected the state of the recipe's optimizer, sgd"));
}

TEST(Restore, RefusesAMissingMoment) {
  Checkpoint checkpoint = take_checkpoint(trained(), "");
  checkpoint.optimizer_state.erase("exp_avg_sq");
  TrainState state(config_with("adam"), torch::kCPU);
  EXPECT_THAT(refusal(kCode, [&] { restore(checkpoint, "file", state); }),
              HasSubstr("no optimizer state \"exp_avg_sq\""));
}

}  // namespace
}  // namespace cifar

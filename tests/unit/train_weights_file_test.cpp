// Weights out of what Python's torch.save wrote; mutated files are refused or read.
#include <gtest/gtest.h>

#include <string>

#include "base64.h"
#include "fuzz.h"
#include "python_reference.h"
#include "refusal.h"
#include "small_run.h"
#include "train/weights_file.h"

namespace cifar {
namespace {

// 0, 1, 2, ... in each tensor, as python_reference.py has it.
void expect_counting(const NamedTensors& weights, bool buffers) {
  const std::map<std::string, std::vector<int64_t>> shapes = {
      {"0.weight", {3, 2}}, {"0.bias", {3}}, {"1.weight", {3}}, {"1.bias", {3}}};
  EXPECT_EQ(weights.size(), buffers ? 6u : 4u);
  for (const auto& [name, shape] : shapes) {
    ASSERT_TRUE(weights.contains(name)) << name;
    const torch::Tensor& tensor = weights.at(name);
    EXPECT_TRUE(torch::equal(tensor, torch::arange(tensor.numel(), torch::kFloat32).view(shape)));
  }
  EXPECT_EQ(weights.contains("1.running_var"), buffers);
}

TEST(WeightsFile, ReadsWhatPythonSaves) {
  expect_counting(weights_of(from_base64(reference::state_dict), "file"), true);
  expect_counting(weights_of(from_base64(reference::nested), "file"), true);  // half precision
  expect_counting(weights_of(from_base64(reference::parameters), "file"), false);
}

TEST(WeightsFile, ReadsACheckpoint) {
  const TrainState state(small_config({"flatten", "linear 10"}), torch::kCPU);
  const Checkpoint checkpoint = take_checkpoint(state, "");
  const NamedTensors weights = weights_of(serialize(checkpoint), "file");
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_TRUE(torch::equal(weights.at("1.weight"), checkpoint.model.at("1.weight")));
}

TEST(WeightsFile, RefusesWhatIsNone) {
  const auto complaint = [](const std::string& bytes) {
    return refusal(ExitCode::kCheckpoint, [&] { weights_of(bytes, "file"); });
  };
  const std::string end = "; expected a checkpoint, or a state dict that torch.save wrote";
  EXPECT_EQ(complaint(""), "file: too short for a zip archive" + end);
  EXPECT_EQ(complaint(std::string(100, 'x')), "file: a zip archive's signature is missing" + end);
  const std::string bytes = from_base64(reference::state_dict);
  EXPECT_EQ(complaint(bytes.substr(0, bytes.size() - 1)),
            "file: a zip archive's signature is missing" + end);
  const TrainState state(small_config({"flatten", "linear 10"}), torch::kCPU);
  std::string damaged = serialize(take_checkpoint(state, ""));
  damaged[300] ^= 1;
  EXPECT_NE(complaint(damaged).find("damaged"), std::string::npos);
}

TEST(FuzzWeightsFile, MutatedFilesAreRefusedOrRead) {
  const std::string files[] = {from_base64(reference::state_dict), from_base64(reference::nested)};
  Mutator mutator(11);
  int loads = 0, errors = 0;
  for (int i = 0; i < 6000; ++i) {
    SCOPED_TRACE(i);
    const std::string& file = files[i % 2];
    const size_t pickle = file.find("data.pkl"), directory = file.find("PK\x01\x02");
    const bool in_pickle = mutator.chance(60);
    const std::string mutant =
        mutator.mutate(file, files[(i + 1) % 2], in_pickle ? pickle : directory,
                       in_pickle ? file.find("PK\x03\x04", pickle) : file.size());
    try {
      for (const auto& [name, tensor] : weights_of(mutant, "file")) tensor.sum();
      ++loads;
    } catch (const Error& error) {
      ++errors;
      EXPECT_EQ(error.code(), ExitCode::kCheckpoint);
      for (const char* sign : {"bad_alloc", "length_error", "allocate", "ASSERT", "\n"}) {
        EXPECT_EQ(std::string(error.what()).find(sign), std::string::npos) << error.what();
      }
    }
  }
  EXPECT_GT(loads, 100);
  EXPECT_GT(errors, 100);
}

}  // namespace
}  // namespace cifar

// Weights out of what Python's torch.save wrote; mutated files are refused or read.
#include <c10/util/accumulate.h>
#include <fmt/format.h>
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
void expect_counting(const std::string& base64, bool buffers) {
  const NamedTensors weights = weights_of(from_base64(base64), "file").tensors;
  const std::map<std::string, std::vector<int64_t>> shapes = {
      {"0.weight", {3, 2}}, {"0.bias", {3}}, {"1.weight", {3}}, {"1.bias", {3}}};
  EXPECT_EQ(weights.size(), buffers ? 6u : 4u);
  for (const auto& [name, shape] : shapes) {
    ASSERT_TRUE(weights.contains(name)) << name;
    const torch::Tensor tensor = weights.at(name).to(torch::kFloat32);
    EXPECT_TRUE(torch::equal(tensor, torch::arange(tensor.numel(), torch::kFloat32).view(shape)));
  }
  EXPECT_EQ(weights.contains("1.running_var"), buffers);
}

TEST(WeightsFile, ReadsWhatPythonSaves) {
  expect_counting(reference::state_dict, true);
  expect_counting(reference::nested, true);  // half precision
  expect_counting(reference::parameters, false);
}

TEST(WeightsFile, ReadsACheckpoint) {
  const TrainState state(small_config({"flatten", "linear 10"}), torch::kCPU);
  const Checkpoint checkpoint = take_checkpoint(state, "");
  const NamedTensors weights = weights_of(serialize(checkpoint), "file").tensors;
  ASSERT_EQ(weights.size(), 2u);
  EXPECT_TRUE(torch::equal(weights.at("1.weight"), checkpoint.model.at("1.weight")));
}

TEST(WeightsFile, RefusesWhatIsNone) {
  const auto complaint = [](const std::string& bytes) {
    return refusal(ExitCode::kCheckpoint, [&] { weights_of(bytes, "file"); });
  };
  const std::string end =
      "; expected a checkpoint, or a state dict that torch.save or safetensors wrote";
  EXPECT_NE(complaint("").find("an empty file"), std::string::npos);
  EXPECT_EQ(complaint(std::string(100, 'x')), "file: 100 bytes of an unknown format" + end);
  const std::string bytes = from_base64(reference::state_dict);
  EXPECT_EQ(complaint(bytes.substr(0, bytes.size() - 1)),
            "file: a zip archive without its end (is it cut off?)" + end);
  const TrainState state(small_config({"flatten", "linear 10"}), torch::kCPU);
  std::string damaged = serialize(take_checkpoint(state, ""));
  damaged[300] ^= 1;
  EXPECT_NE(complaint(damaged).find("damaged"), std::string::npos);
}

// {"NAME": TENSOR, ...} with these shapes, in float32: 0, 1, 2, ...
std::string safetensors_of(const std::map<std::string, std::vector<int64_t>>& shapes) {
  std::string header, data;
  for (const auto& [name, shape] : shapes) {
    const torch::Tensor tensor = torch::arange(c10::multiply_integers(shape), torch::kFloat32);
    header += fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                          header.empty() ? "{" : ",", name, c10::str(c10::IntArrayRef(shape)),
                          data.size(), data.size() + tensor.nbytes());
    data.append(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes());
  }
  header += "}";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  bytes[1] = static_cast<char>(header.size() >> 8);
  return bytes + header + data;
}

TEST(WeightsFile, ReadsSafetensors) {
  const auto found =
      weights_of(safetensors_of({{"module.0.weight", {3, 2}}, {"module.0.bias", {3}}}), "file");
  EXPECT_EQ(found.taken_away, "module.");
  ASSERT_EQ(found.tensors.size(), 2u);
  EXPECT_TRUE(torch::equal(found.tensors.at("0.weight"), torch::arange(6.0f).view({3, 2})));
  EXPECT_TRUE(torch::equal(found.tensors.at("0.bias"), torch::arange(3.0f)));
}

TEST(WeightsFile, OfASmallFileTakesNoMoreThanASmallNetwork) {
  EXPECT_EQ(most_weights_of(10), 1 << 24);
  EXPECT_EQ(most_weights_of(100'000'000), 100'000'000);
}

TEST(FuzzWeightsFile, MutatedSafetensorsAreRefusedOrRead) {
  const std::string file =
      safetensors_of({{"0.weight", {3, 2}}, {"0.bias", {3}}, {"2", {2, 2, 2}}});
  Mutator mutator(12);
  int loads = 0, errors = 0;
  for (int i = 0; i < 6000; ++i) {
    SCOPED_TRACE(i);
    const std::string mutant = mutator.mutate(file, file, 0, file.size());
    try {
      for (const auto& [name, tensor] : weights_of(mutant, "file").tensors) tensor.sum();
      ++loads;
    } catch (const Error& error) {
      ++errors;
      EXPECT_EQ(error.code(), ExitCode::kCheckpoint);
      for (const char* sign : {"bad_alloc", "length_error", "allocate", "ASSERT", "\n", "\x1b"}) {
        EXPECT_EQ(std::string(error.what()).find(sign), std::string::npos) << error.what();
      }
    }
  }
  EXPECT_GT(loads, 100);
  EXPECT_GT(errors, 100);
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
      for (const auto& [name, tensor] : weights_of(mutant, "file").tensors) tensor.sum();
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

// Mutated checkpoints end in a clean error or a load that is good to use. Most are sealed again with
// the right hash, so that the reader behind it meets them; sizes they claim are not allocated.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "fuzz.h"
#include "small_run.h"
#include "train/checkpoint.h"

namespace cifar {
namespace {

constexpr int kMutants = 6000;
const std::vector<std::string> kLayers = {"conv 2",     "batch-norm", "relu",
                                          "pool max 16", "flatten",    "linear 10"};

Config config_with(const std::string& optimizer) {
  Config config = small_config(kLayers);
  config.optimizer.name = optimizer;
  return config;
}

std::string archive_of(const std::string& optimizer) {
  const TrainState state(config_with(optimizer), torch::kCPU);
  const std::string bytes =
      serialize(take_checkpoint(state, "[train]\nepochs = 3\n", optimizer));
  return bytes.substr(0, bytes.rfind("\ncifar-ddp checkpoint hash "));
}

std::string sealed(const std::string& archive) {
  return archive + "\ncifar-ddp checkpoint hash " + hash_of(archive) + "\n";
}

// Reads every number of a checkpoint; what an out-of-range tensor would not survive.
double sum_of(const Checkpoint& checkpoint) {
  double sum = 0;
  for (const auto& [name, tensor] : checkpoint.model) sum += tensor.sum().item<double>();
  for (const auto& [moment, tensors] : checkpoint.optimizer_state) {
    for (const auto& [name, tensor] : tensors) sum += tensor.sum().item<double>();
  }
  return sum;
}

int64_t peak_memory_kib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

struct Tally {
  int loads = 0, restores = 0, errors = 0;
};

void try_to_load(const std::string& bytes, Tally& tally) {
  std::optional<Checkpoint> found;
  try {
    found = deserialize(bytes, "file");
    ++tally.loads;
    sum_of(*found);
    TrainState state(config_with("adam"), torch::kCPU);
    restore(*found, "file", "adam", state);
    ++tally.restores;
  } catch (const Error& error) {
    ++tally.errors;
    EXPECT_EQ(error.code(), ExitCode::kCheckpoint);
    const std::string text = error.what();
    for (const char* sign : {"bad_alloc", "length_error", "allocate", "INTERNAL ASSERT"}) {
      EXPECT_EQ(text.find(sign), std::string::npos) << text;
    }
  }
}

TEST(FuzzCheckpoint, MutantsEndInAnErrorOrALoad) {
  const std::string archive = archive_of("adam"), donor = archive_of("sgd");
  Mutator mutator(4);
  Tally tally;
  try_to_load(sealed(archive), tally);
  ASSERT_EQ(tally.restores, 1);
  const int64_t before = peak_memory_kib();
  const size_t pickle_end = archive.find("data/0"), directory = archive.find("PK\x01\x02");
  for (int i = 0; i < kMutants; ++i) {
    SCOPED_TRACE(i);
    const size_t part = mutator.below(10);  // 6 of 10 in the pickle, 2 in the zip's directory
    const size_t first = part < 6 ? 0 : part < 8 ? directory : 0;
    const size_t last = part < 6 ? pickle_end : archive.size();
    const bool seal = mutator.chance(90);
    const std::string whole = seal ? archive : sealed(archive);
    const std::string mutant =
        mutator.mutate(whole, donor, first, last == archive.size() ? whole.size() : last);
    try_to_load(seal ? sealed(mutant) : mutant, tally);
  }
  EXPECT_LT(peak_memory_kib() - before, 64 * 1024);
  std::printf("%d mutants: %d loads, %d of them fit the recipe, %d errors\n", kMutants, tally.loads - 1,
              tally.restores - 1, tally.errors);
}

}  // namespace
}  // namespace cifar

// Mutated checkpoints end in a clean error or a load that is good to use. Most are sealed again
// with the right hash, so that the readers behind it meet them; sizes they claim are not allocated.
#include <caffe2/serialize/inline_container.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "fuzz.h"
#include "sealed.h"
#include "small_run.h"
#include "train/checkpoint.h"
#include "train/zip_records.h"

namespace cifar {
namespace {

const std::vector<std::string> kLayers = {"conv 2",      "batch-norm", "relu",
                                          "pool max 16", "flatten",    "linear 10"};

Config config_with(const std::string& optimizer) {
  Config config = small_config(kLayers);
  config.optimizer.name = optimizer;
  return config;
}

std::string archive_of(const std::string& optimizer) {
  const TrainState state(config_with(optimizer), torch::kCPU);
  const std::string bytes = serialize(take_checkpoint(state, "[train]\nepochs = 3\n"));
  return bytes.substr(0, bytes.rfind("\ncifar-ddp checkpoint hash "));
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

// AddressSanitizer keeps freed memory for a while.
#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kMostGrowthKib = 1024 * 1024;
#else
constexpr int64_t kMostGrowthKib = 64 * 1024;
#endif

int64_t peak_memory_kib() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// What became of the mutants of one test.
class Loads {
 public:
  ~Loads() {
    std::printf("%d loads, %d of which fit the recipe, %d errors\n", loads_, restores_, errors_);
  }

  void load(const std::string& bytes) {
    try {
      const Checkpoint found = deserialize(bytes, "file");
      ++loads_;
      sum_of(found);
      TrainState state(config_with("adam"), torch::kCPU);
      restore(found, "file", state);
      ++restores_;
    } catch (const Error& error) {
      ++errors_;
      EXPECT_EQ(error.code(), ExitCode::kCheckpoint);
      const std::string text = error.what();
      for (const char* sign : {"bad_alloc", "length_error", "allocate", "ASSERT"}) {
        EXPECT_EQ(text.find(sign), std::string::npos) << text;
      }
    }
  }
  int loads() const { return loads_; }
  int restores() const { return restores_; }
  int errors() const { return errors_; }

 private:
  int loads_ = 0, restores_ = 0, errors_ = 0;
};

TEST(FuzzCheckpoint, MutatedFilesAreRefusedOrLoaded) {
  const std::string archive = archive_of("adam"), donor = archive_of("sgd");
  const size_t directory = archive.find("PK\x01\x02");
  Mutator mutator(4);
  Loads loads;
  loads.load(sealed(archive));
  ASSERT_EQ(loads.restores(), 1);
  const int64_t before = peak_memory_kib();
  for (int i = 0; i < 5000; ++i) {
    SCOPED_TRACE(i);
    if (mutator.chance(20)) {
      const std::string whole = sealed(archive);
      loads.load(mutator.mutate(whole, donor, 0, whole.size()));
      EXPECT_THROW(deserialize(whole.substr(0, mutator.below(whole.size())), "file"), Error);
      continue;
    }
    const size_t first = mutator.chance(60) ? directory : 0;
    loads.load(sealed(mutator.mutate(archive, donor, first, archive.size())));
  }
  EXPECT_GT(loads.loads(), 100);
  EXPECT_GT(loads.errors(), 100);
  EXPECT_LT(peak_memory_kib() - before, kMostGrowthKib);
}

// An archive that is whole, by PyTorch's writer.
std::string archive_of(const ZipRecords& records) {
  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  for (const auto& [name, record] : records) {
    if (name == "data.pkl" || name.starts_with("data/")) {
      writer.writeRecord(name, record.data(), record.size());
    }
  }
  writer.writeEndOfFile();
  return bytes;
}

TEST(FuzzCheckpoint, MutatedPicklesAndRecordsAreRefusedOrLoaded) {
  const std::string archive = archive_of("adam"), other = archive_of("sgd");
  const ZipRecords records = read_zip_records(archive);
  const std::string pickle(records.at("data.pkl")), donor(read_zip_records(other).at("data.pkl"));
  Mutator mutator(5);
  Loads loads;
  loads.load(sealed(archive_of(records)));
  ASSERT_EQ(loads.restores(), 1);
  const int64_t before = peak_memory_kib();
  for (int i = 0; i < 8000; ++i) {
    SCOPED_TRACE(i);
    ZipRecords changed = records;
    const std::string mutant = mutator.mutate(pickle, donor, 0, pickle.size());
    if (mutator.chance(90)) {
      changed["data.pkl"] = mutant;
    } else {  // a record cut off, or another one's
      auto& record = changed["data/" + std::to_string(mutator.below(8))];
      record = mutator.chance(50) ? record.substr(0, mutator.below(record.size()))
                                  : changed["data/" + std::to_string(mutator.below(8))];
    }
    loads.load(sealed(archive_of(changed)));
  }
  EXPECT_GT(loads.loads(), 100);
  EXPECT_GT(loads.errors(), 100);
  EXPECT_LT(peak_memory_kib() - before, kMostGrowthKib);
}

}  // namespace
}  // namespace cifar

// Bucketed sums against closed forms, with ranks as threads.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/range.h"
#include "parallel/overlapped_reducer.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

// Parameters "0", "1", ... of the given sizes; the loss is sum_k sum_i factor * (k + 1) * p_k[i],
// so that its gradient is factor * (k + 1) everywhere.
struct Parameters : torch::nn::Module {
  explicit Parameters(const std::vector<int64_t>& sizes) {
    for (const int64_t size : sizes) {
      tensors.push_back(register_parameter(std::to_string(tensors.size()), torch::zeros({size})));
    }
  }
  torch::Tensor loss(double factor) const {
    auto sum = torch::zeros({});
    for (size_t k = 0; k < tensors.size(); ++k) {
      sum = sum + factor * static_cast<double>(k + 1) * tensors[k].sum();
    }
    return sum;
  }
  std::vector<torch::Tensor> tensors;
};

void run_empty_shard(Reducer& reducer, const FlatState& state) {
  if (reducer.writes_next()) state.gradients().zero_();
  reducer.after_shard(0);
}

// As a training step runs it. `backward` adds to the gradients.
void run_shard(Reducer& reducer, const FlatState& state, bool last,
               const std::function<void()>& backward) {
  if (reducer.writes_next()) state.gradients().zero_();
  reducer.before_backward(last);
  backward();
  reducer.after_shard(0);
}

void expect_gradients(const FlatState& state, double factor) {
  for (size_t k = 0; k < state.parameter_entries().size(); ++k) {
    const auto gradient = state.parameter_entries()[k].tensor.grad();
    const double expected = factor * static_cast<double>(k + 1);
    EXPECT_TRUE(torch::equal(gradient, torch::full_like(gradient, expected))) << k;
  }
}

const std::vector<std::vector<int64_t>> kSizes = {
    {1}, {7}, {1000}, {1, 7, 1000}, {1000, 1000, 1, 7, 64}, {16, 16, 16, 16}};

// Rank r contributes the factor r + 1: all together size (size + 1) / 2.
TEST(OverlappedReducer, GivesTheClosedFormForAnySizesRanksAndBuckets) {
  for (const auto& sizes : kSizes) {
    for (int ranks = 1; ranks <= 4; ++ranks) {
      for (const int64_t bucket_bytes : {1, 256, 5000, 1 << 20}) {
        run_ranks(ranks, [&](Communicator& comm) {
          Parameters parameters(sizes);
          const FlatState state(parameters, torch::kCPU);
          OverlappedReducer reducer(comm, state, bucket_bytes);
          for (int step = 0; step < 2; ++step) {
            reducer.begin();
            state.metrics().fill_(comm.rank());
            run_shard(reducer, state, /*last=*/true,
                      [&] { parameters.loss(comm.rank() + 1).backward(); });
            reducer.finish();
            expect_gradients(state, ranks * (ranks + 1) / 2);
            EXPECT_EQ(state.metrics()[1].item<float>(), ranks * (ranks - 1) / 2);
          }
        });
      }
    }
  }
}

TEST(OverlappedReducer, ReducesAllBackwardPassesOfAStepWithTheLast) {
  run_ranks(3, [](Communicator& comm) {
    Parameters parameters({7, 1000, 3});
    const FlatState state(parameters, torch::kCPU);
    OverlappedReducer reducer(comm, state, 64);
    for (int step = 0; step < 2; ++step) {
      reducer.begin();
      // Rank r has r + 1 shards.
      for (int shard = 0; shard <= comm.rank(); ++shard) {
        run_shard(reducer, state, shard == comm.rank(), [&] { parameters.loss(1).backward(); });
      }
      reducer.finish();
      expect_gradients(state, 1 + 2 + 3);
    }
  });
}

// In turn, each rank has an empty shard, no shard at all, or an empty one before its first.
TEST(OverlappedReducer, ARankWithoutSamplesTakesPart) {
  enum class Shards { kEmpty, kNone, kEmptyAndOne };
  for (const Shards shards : {Shards::kEmpty, Shards::kNone, Shards::kEmptyAndOne}) {
    run_ranks(3, [&](Communicator& comm) {
      Parameters parameters({7, 1000, 3});
      const FlatState state(parameters, torch::kCPU);
      OverlappedReducer reducer(comm, state, 64);
      for (int step = 0; step < 4; ++step) {
        const bool chosen = comm.rank() == step % 3;
        reducer.begin();
        if (chosen && shards != Shards::kNone) run_empty_shard(reducer, state);
        if (!chosen || shards == Shards::kEmptyAndOne) {
          run_shard(reducer, state, /*last=*/true, [&] { parameters.loss(1).backward(); });
        }
        reducer.finish();
        expect_gradients(state, shards == Shards::kEmptyAndOne ? 3 : 2);
      }
    });
  }
}

// A world of one that notes what is started, and when.
class Recorder : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string name() const override { return "recorder"; }
  void start_all_reduce_sum(torch::Tensor tensor) override { started.push_back(tensor); }
  void finish() override { started_before_finish = started.size(); }
  void broadcast(torch::Tensor, int) override {}
  void exchange(const std::vector<Message>&, const std::vector<Message>&) override {}
  void barrier() override {}

  std::vector<torch::Tensor> started;
  size_t started_before_finish = 0;
};

// Where each started slice begins and ends, in elements from the start of the flat tensor.
std::vector<Range> ranges(const Recorder& recorder, const FlatState& state) {
  std::vector<Range> found;
  for (const auto& tensor : recorder.started) {
    found.push_back({tensor.storage_offset() - state.reduced().storage_offset(), tensor.numel()});
  }
  return found;
}

TEST(OverlappedReducer, BucketsTileTheFlatTensorFromItsEnd) {
  for (const auto& sizes : kSizes) {
    Parameters parameters(sizes);
    const FlatState state(parameters, torch::kCPU);
    Recorder recorder;
    OverlappedReducer reducer(recorder, state, 1);
    EXPECT_EQ(reducer.buckets(), static_cast<int64_t>(sizes.size()));
    reducer.before_backward(/*last=*/true);
    parameters.loss(1).backward();
    EXPECT_EQ(recorder.started.size(), sizes.size()) << "all start during backward";
    reducer.finish();
    int64_t end = state.reduced().numel();
    for (const Range& range : ranges(recorder, state)) {
      EXPECT_EQ(range.end(), end);
      end = range.first;
    }
    EXPECT_EQ(end, 0);
  }
}

// Only the first parameter takes part in the loss: its bucket is last in order and waits.
TEST(OverlappedReducer, TheOrderDoesNotDependOnTheOrderOfGradients) {
  Parameters parameters({16, 16, 16});
  const FlatState state(parameters, torch::kCPU);
  Recorder recorder;
  OverlappedReducer reducer(recorder, state, 1);
  reducer.before_backward(/*last=*/true);
  parameters.tensors[0].sum().backward();
  EXPECT_TRUE(recorder.started.empty());
  reducer.finish();
  const auto found = ranges(recorder, state);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_GT(found[0].first, found[1].first);
  EXPECT_GT(found[1].first, found[2].first);
}

// Buckets from the end: "3" and the metrics, "2", "1", "0".
TEST(OverlappedReducer, WaitsForNoFrozenParameter) {
  const auto started = [](const std::vector<size_t>& frozen) {
    Parameters parameters({16, 16, 16, 16});
    for (const size_t k : frozen) parameters.tensors[k].set_requires_grad(false);
    const FlatState state(parameters, torch::kCPU);
    Recorder recorder;
    OverlappedReducer reducer(recorder, state, 1);
    std::vector<int64_t> in_backward;
    for (int step = 0; step < 2; ++step) {
      const size_t before = recorder.started.size();
      reducer.begin();
      run_shard(reducer, state, /*last=*/true, [&] { parameters.loss(1).backward(); });
      in_backward.push_back(static_cast<int64_t>(recorder.started.size() - before));
      reducer.finish();
      EXPECT_EQ(recorder.started.size() - before, 4u);
    }
    EXPECT_EQ(in_backward[0], in_backward[1]);
    return in_backward[0];
  };
  EXPECT_EQ(started({0}), 4);
  EXPECT_EQ(started({3}), 4);
  EXPECT_EQ(started({1, 2}), 4);
  EXPECT_EQ(started({0, 2, 3}), 4);
}

TEST(OverlappedReducer, LeavesZerosInTheGradientOfAFrozenParameter) {
  for (const int64_t bucket_bytes : {1, 1 << 20}) {
    run_ranks(3, [&](Communicator& comm) {
      Parameters parameters({7, 100, 30});
      parameters.tensors[1].set_requires_grad(false);
      const FlatState state(parameters, torch::kCPU);
      OverlappedReducer reducer(comm, state, bucket_bytes);
      reducer.begin();
      run_shard(reducer, state, /*last=*/true,
                [&] { parameters.loss(comm.rank() + 1).backward(); });
      reducer.finish();
      const auto& entries = state.parameter_entries();
      for (size_t k = 0; k < entries.size(); ++k) {
        const auto gradient = view_like(state.gradients(), entries[k]);
        const double expected = k == 1 ? 0 : 6.0 * static_cast<double>(k + 1);
        EXPECT_TRUE(torch::equal(gradient, torch::full_like(gradient, expected))) << k;
      }
    });
  }
}

TEST(OverlappedReducer, AnUnarmedBackwardStartsNothing) {
  Parameters parameters({16, 16});
  const FlatState state(parameters, torch::kCPU);
  Recorder recorder;
  OverlappedReducer reducer(recorder, state, 1);
  parameters.loss(1).backward();
  EXPECT_TRUE(recorder.started.empty());
}

TEST(OverlappedReducer, LeavesNothingBehindWhenItIsGone) {
  Parameters parameters({16, 16});
  const FlatState state(parameters, torch::kCPU);
  Recorder recorder;
  { OverlappedReducer reducer(recorder, state, 1); }
  parameters.loss(1).backward();
  EXPECT_TRUE(recorder.started.empty());
}

TEST(OverlappedReducer, BucketBytesBoundTheNumberOfBuckets) {
  Parameters parameters({1024, 1024, 1024, 1024});
  const FlatState state(parameters, torch::kCPU);
  Recorder recorder;
  const auto buckets = [&](int64_t bytes) {
    return OverlappedReducer(recorder, state, bytes).buckets();
  };
  EXPECT_EQ(buckets(4096), 4);
  EXPECT_EQ(buckets(8192), 2);
  EXPECT_EQ(buckets(1 << 20), 1);
}

}  // namespace
}  // namespace cifar

// Gradients that are rounded on their way, in both reductions, with ranks as threads.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "parallel/reducer.h"
#include "parallel/shards.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

constexpr int64_t kShards = 6;
constexpr double kStatistic = 1.0 / 3;  // no bf16 or fp16

struct ThreeWeights : torch::nn::Module {
  ThreeWeights() {
    for (const int64_t size : {700, 20, 3000}) {
      tensors.push_back(register_parameter(std::to_string(tensors.size()), torch::zeros({size})));
    }
    register_buffer("statistic", torch::zeros({5}));
  }
  std::vector<torch::Tensor> tensors;
};

torch::Tensor values_of_shard(int64_t shard, int64_t size) {
  return torch::sin(torch::arange(size, torch::kFloat64) * 12.9898 +
                    static_cast<double>(shard) * 78.233)
      .to(torch::kFloat32);
}

TrainConfig config_of(const std::string& reduction, const std::string& precision) {
  TrainConfig config;
  config.reduction = reduction;
  config.reduction_precision = precision;
  config.shards = kShards;
  config.bucket_kib = 4;
  return config;
}

struct Reduced {
  torch::Tensor gradients, rest;
};

// On `ranks` ranks; all of them are found to have the same.
Reduced reduced(const std::string& reduction, const std::string& precision, int ranks) {
  std::vector<Reduced> found(ranks);
  run_ranks(ranks, [&](Communicator& comm) {
    ThreeWeights weights;
    const FlatState state(weights, torch::kCPU);
    const auto reducer = make_reducer(config_of(reduction, precision), comm, state);
    for (int step = 0; step < 2; ++step) {
      reducer->begin();
      const Range mine = part_of(kShards, ranks, comm.rank());
      for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
        reducer->before_backward(shard + 1 == mine.end());
        auto loss = torch::zeros({});
        for (const auto& tensor : weights.tensors) {
          loss = loss + (tensor * values_of_shard(shard, tensor.numel())).sum();
        }
        state.rest().add_(kStatistic);
        if (reducer->writes_next()) state.gradients().zero_();
        loss.backward();
        reducer->after_shard(shard);
      }
      reducer->finish();
    }
    found[comm.rank()] = {state.gradients().clone(), state.rest().clone()};
  });
  for (const Reduced& one : found) {
    EXPECT_TRUE(torch::equal(one.gradients, found[0].gradients));
    EXPECT_TRUE(torch::equal(one.rest, found[0].rest));
  }
  return found[0];
}

double distance(const torch::Tensor& one, const torch::Tensor& other) {
  return (one - other).abs().max().item<double>();
}

// Sums stay below 6, so that each of at most 6 roundings moves them by no more than half of 4 eps.
TEST(ReductionPrecision, MovesGradientsByItsRoundingAndNothingElse) {
  for (const std::string reduction : {"ordered", "overlapped"}) {
    const Reduced exact = reduced(reduction, "fp32", 3);
    for (const auto& [precision, epsilon] : {std::pair{"bf16", 0x1p-7}, {"fp16", 0x1p-10}}) {
      SCOPED_TRACE(reduction + " " + precision);
      for (const int ranks : {1, 2, 3}) {
        const Reduced rounded = reduced(reduction, precision, ranks);
        EXPECT_LT(distance(rounded.gradients, exact.gradients), 6 * 2 * epsilon);
        EXPECT_GT(distance(rounded.gradients, exact.gradients), epsilon / 8);
        EXPECT_LT(distance(rounded.rest, exact.rest), 1e-6);
      }
    }
  }
}

TEST(ReductionPrecision, OrderedKeepsTheSameBitsOnAnyNumberOfRanks) {
  for (const std::string precision : {"bf16", "fp16"}) {
    const Reduced one = reduced("ordered", precision, 1);
    for (int ranks = 2; ranks <= kShards; ++ranks) {
      const Reduced other = reduced("ordered", precision, ranks);
      EXPECT_TRUE(torch::equal(one.gradients, other.gradients)) << precision << " " << ranks;
      EXPECT_TRUE(torch::equal(one.rest, other.rest)) << precision << " " << ranks;
    }
  }
}

// Counts what is sent, by type.
class Counter : public ThreadCommunicator {
 public:
  using ThreadCommunicator::ThreadCommunicator;
  void start_all_reduce_sum(torch::Tensor tensor) override {
    (tensor.scalar_type() == torch::kBFloat16 ? halves : floats) += tensor.numel();
    ThreadCommunicator::start_all_reduce_sum(std::move(tensor));
  }
  int64_t halves = 0, floats = 0;
};

TEST(ReductionPrecision, SendsEachGradientOnceInTwoBytes) {
  ThreadTeam team(1);
  Counter comm(team, 0);
  ThreeWeights weights;
  const FlatState state(weights, torch::kCPU);
  const auto reducer = make_reducer(config_of("overlapped", "bf16"), comm, state);
  reducer->begin();
  reducer->before_backward(/*last=*/true);
  weights.tensors[1].sum().backward();
  reducer->after_shard(0);
  reducer->finish();
  EXPECT_EQ(comm.halves, state.gradients().numel());
  EXPECT_EQ(comm.floats, state.rest().numel());
}

}  // namespace
}  // namespace cifar

// Sums of shards in the tree's order, with ranks as threads, against the same order written down as
// a recursion; and how many bytes they move.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "parallel/ordered_reducer.h"
#include "parallel/shards.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

struct Weights : torch::nn::Module {
  explicit Weights(int64_t size) { register_parameter("weights", torch::zeros({size})); }
};

// What shard `shard` adds to the flat state of `size` elements: no two orders of adding such
// numbers give the same bits everywhere.
torch::Tensor contribution(int64_t shard, int64_t size) {
  const auto i = torch::arange(size, torch::kFloat64);
  return torch::sin(i * 12.9898 + static_cast<double>(shard) * 78.233)
      .mul(1000)
      .to(torch::kFloat32);
}

torch::Tensor tree_sum(int64_t first, int64_t count, int64_t size) {
  if (count == 1) return contribution(first, size);
  const auto left = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(count - 1)));
  return tree_sum(first, left, size) + tree_sum(first + left, count - left, size);
}

// Counts the elements that it sends.
class CountingCommunicator : public ThreadCommunicator {
 public:
  using ThreadCommunicator::ThreadCommunicator;
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override {
    for (const Message& message : sends) sent += message.tensor.numel();
    ThreadCommunicator::exchange(sends, receives);
  }
  int64_t sent = 0;
};

void reduce(Reducer& reducer, const FlatState& state, const Range& shards) {
  reducer.begin();
  for (int64_t shard = shards.first; shard < shards.end(); ++shard) {
    reducer.before_backward(shard + 1 == shards.end());
    const auto parts = contribution(shard, state.reduced().numel())
                           .split_with_sizes({state.gradients().numel(), state.rest().numel()});
    EXPECT_TRUE(reducer.writes_next());
    state.gradients().copy_(parts[0]);
    state.rest().add_(parts[1]);
    reducer.after_shard(shard);
  }
  reducer.finish();
}

TEST(OrderedReducer, AddsInTheTreesOrderOnAnyNumberOfRanks) {
  for (const int64_t size : {1, 1000}) {
    for (const int64_t shards : {1, 2, 3, 5, 6, 7, 8, 12, 16}) {
      for (int ranks = 1; ranks <= std::min<int64_t>(shards, 8); ++ranks) {
        SCOPED_TRACE(testing::Message() << shards << " shards, " << ranks << " ranks");
        run_ranks(ranks, [&](Communicator& comm) {
          Weights weights(size);
          const FlatState state(weights, torch::kCPU);
          OrderedReducer reducer(comm, state, shards);
          const auto expected = tree_sum(0, shards, state.reduced().numel());
          for (int step = 0; step < 2; ++step) {
            reduce(reducer, state, part_of(shards, comm.size(), comm.rank()));
            EXPECT_TRUE(torch::equal(state.reduced(), expected));
          }
        });
      }
    }
  }
}

// Shards write through the parameters' gradients, which lie apart: what lies between them stays
// zero, in whatever memory the sums are taken.
TEST(OrderedReducer, LeavesTheGapsBetweenGradientsAtZero) {
  run_ranks(1, [](Communicator& comm) {
    Weights weights(20);
    const FlatState state(weights, torch::kCPU);
    OrderedReducer reducer(comm, state, 8);
    {  // junk for the allocator to hand out again
      std::vector<torch::Tensor> junk;
      for (int i = 0; i < 8; ++i) junk.push_back(torch::full_like(state.reduced(), NAN));
    }
    const torch::Tensor gradient = weights.parameters()[0].mutable_grad();
    reducer.begin();
    for (int64_t shard = 0; shard < 8; ++shard) {
      gradient.fill_(1);
      reducer.after_shard(shard);
    }
    reducer.finish();
    EXPECT_EQ(gradient.sum().item<float>(), 8 * 20);
    EXPECT_EQ(state.gradients().sum().item<float>(), 8 * 20);
  });
}

// A test that could not fail if these numbers added up alike in any order.
TEST(OrderedReducer, AnotherOrderWouldGiveOtherBits) {
  auto in_a_row = contribution(0, 1000);
  for (int64_t shard = 1; shard < 8; ++shard) in_a_row = in_a_row + contribution(shard, 1000);
  EXPECT_FALSE(torch::equal(in_a_row, tree_sum(0, 8, 1000)));
}

// A ring all-reduce of n elements over P ranks sends 2 n (P - 1) / P from each.
TEST(OrderedReducer, SendsNoMoreThanARingWhereEachRankHoldsASubtree) {
  for (const int64_t shards : {2, 4, 8, 16}) {
    for (int ranks = 2; ranks <= std::min<int64_t>(shards, 8); ranks *= 2) {
      ThreadTeam team(ranks);
      std::vector<int64_t> sent(ranks);
      int64_t size = 0;
      std::vector<std::thread> threads;
      for (int rank = 0; rank < ranks; ++rank) {
        threads.emplace_back([&, rank] {
          Weights weights(1000);
          const FlatState state(weights, torch::kCPU);
          CountingCommunicator comm(team, rank);
          OrderedReducer reducer(comm, state, shards);
          reduce(reducer, state, part_of(shards, ranks, rank));
          sent[rank] = comm.sent;
          if (rank == 0) size = state.reduced().numel();
        });
      }
      for (std::thread& thread : threads) thread.join();
      int64_t all = 0;
      for (const int64_t each : sent) all += each;
      EXPECT_EQ(all, 2 * size * (ranks - 1)) << shards << " shards, " << ranks << " ranks";
    }
  }
}

}  // namespace
}  // namespace cifar

// Copies of a training state that must be equal, with ranks as threads.
#include <gmock/gmock.h>

#include <random>

#include "refusal.h"
#include "small_run.h"
#include "thread_communicator.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// Three copies of a state, as after some training.
class ReplicasTest : public testing::Test {
 protected:
  ReplicasTest() {
    Config config =
        small_config({"conv 4", "batch-norm", "relu", "pool max 4", "flatten", "linear 10"});
    for (int rank = 0; rank < kRanks; ++rank) {
      states_.push_back(std::make_unique<TrainState>(config, torch::kCPU));
      for (const auto& [name, tensor] : states_[rank]->groups.front().optimizer->state())
        tensor.fill_(0.25);
    }
  }

  void check() {
    run_ranks(kRanks, [&](Communicator& comm) {
      comm.set_step(40);
      check_replicas(replica_tensors(*states_[comm.rank()]), comm);
    });
  }
  std::string refused() {
    return refusal(ExitCode::kReplicasDiffer, [&] { check(); });
  }

  static constexpr int kRanks = 3;
  std::vector<std::unique_ptr<TrainState>> states_;
};

void flip_bit(const torch::Tensor& tensor, int64_t element, int bit) {
  auto* bytes = static_cast<uint8_t*>(tensor.data_ptr());
  bytes[element * 4 + bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
}

TEST_F(ReplicasTest, EqualCopiesPass) {
  check();
}

// Any bit of any element of any tensor, on any rank.
TEST_F(ReplicasTest, OneFlippedBitIsFoundAndItsRankAndTensorNamed) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 100; ++trial) {
    const int rank = static_cast<int>(random() % kRanks);
    const auto tensors = replica_tensors(*states_[rank]);
    // The last one, the counters, is no view.
    const ReplicaTensor& victim = tensors[random() % (tensors.size() - 1)];
    const auto element = static_cast<int64_t>(random() % victim.tensor.numel());
    const int bit = static_cast<int>(random() % 32);
    flip_bit(victim.tensor, element, bit);
    EXPECT_THAT(refused(), AllOf(HasSubstr("replicas at step 40: rank " + std::to_string(rank) +
                                           " differs from the other 2 in " + victim.name + ";")))
        << "trial " << trial;
    flip_bit(victim.tensor, element, bit);
  }
  check();
}

TEST_F(ReplicasTest, NamesFourTensorsAndCountsTheRest) {
  states_[1]->flat.parameters().add_(1);
  states_[1]->groups.front().optimizer->state()[0].second.add_(1);
  EXPECT_THAT(refused(), AllOf(HasSubstr("rank 1 differs from the other 2 in "),
                               HasSubstr("0.weight, 0.bias, 1.weight, 1.bias and "),
                               HasSubstr(" more tensors")));
}

TEST_F(ReplicasTest, WithoutAMajorityNobodyIsBlamed) {
  for (int rank = 0; rank < kRanks; ++rank) states_[rank]->flat.buffers().fill_(rank);
  EXPECT_THAT(refused(),
              AllOf(HasSubstr("no hash is that of most ranks in "), Not(HasSubstr("rank 1"))));
}

}  // namespace
}  // namespace cifar

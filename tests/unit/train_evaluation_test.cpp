// No sample padded or dropped, and the same bits whichever ranks computed them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "small_run.h"
#include "thread_communicator.h"
#include "train/evaluation.h"

namespace cifar {
namespace {

const std::vector<std::string> kMixedLayers = {
    "conv 4 stride 2", "batch-norm", "dropout 0.5", "relu", "pool max 4", "flatten", "linear 10"};

class EvaluateTest : public testing::Test {
 protected:
  // Each rank's result.
  std::vector<EvaluationResult> evaluate_on(int ranks, int64_t samples, const std::string& how) {
    std::vector<EvaluationResult> results(ranks);
    const auto network = networks(config_, ranks);
    run_ranks(ranks, [&](Communicator& comm) {
      Batches batches(std::make_shared<ResidentSet>(set_, torch::kCPU), config_.augmentation, false,
                      0);
      batches.set_order(backwards(samples), 0);
      results[comm.rank()] = summary_of(
          Predictor(*network[comm.rank()], batches, samples, how, precision_, comm).predict());
    });
    return results;
  }

  EvaluationResult expected(int64_t samples) const {
    const auto network = make_network(config_);
    network->to(torch::kFloat64);
    const PlainBatch batch(set_, backwards(samples), {0, samples});
    const auto logits = network->forward(batch.images, Pass{});
    const auto loss = torch::cross_entropy_loss(logits, batch.labels).item<double>();
    return {samples, logits.argmax(1).eq(batch.labels).sum().item<int64_t>(), loss};
  }

  ImageSet set_ = random_images(777);
  Config config_ = small_config(kMixedLayers);
  Precision precision_{"fp32", torch::kCPU};
};

// Sizes around the block of 250 and not divisible by any number of ranks.
TEST_F(EvaluateTest, CountsEverySampleOnce) {
  for (const int64_t samples : {1, 249, 250, 251, 500, 777}) {
    const EvaluationResult want = expected(samples);
    for (int ranks = 1; ranks <= 3; ++ranks) {
      for (const std::string how : {"rank0", "sharded"}) {
        SCOPED_TRACE(testing::Message() << samples << " samples, " << ranks << " ranks, " << how);
        for (const EvaluationResult& found : evaluate_on(ranks, samples, how)) {
          EXPECT_EQ(found.samples, samples);
          EXPECT_EQ(found.correct, want.correct);
          EXPECT_NEAR(found.loss, want.loss, 1e-6 * want.loss);
          EXPECT_EQ(found.accuracy(), static_cast<double>(want.correct) / samples);
        }
      }
    }
  }
}

TEST_F(EvaluateTest, TheBitsDependNeitherOnRanksNorOnHow) {
  const EvaluationResult one = evaluate_on(1, 777, "sharded").front();
  for (int ranks = 1; ranks <= 5; ++ranks) {
    for (const std::string how : {"rank0", "sharded"}) {
      for (const EvaluationResult& found : evaluate_on(ranks, 777, how)) {
        EXPECT_EQ(found.loss, one.loss);
        EXPECT_EQ(found.correct, one.correct);
      }
    }
  }
}

TEST_F(EvaluateTest, LeavesTheNetworkAsItIs) {
  const auto network = make_network(config_);
  std::vector<torch::Tensor> before;
  for (const auto& buffer : network->buffers()) before.push_back(buffer.clone());
  run_ranks(1, [&](Communicator& comm) {
    Batches batches(std::make_shared<ResidentSet>(set_, torch::kCPU), config_.augmentation, false,
                    0);
    batches.set_order(backwards(300), 0);
    Predictor(*network, batches, 300, "sharded", precision_, comm).predict();
  });
  ASSERT_FALSE(before.empty());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_TRUE(torch::equal(network->buffers()[i], before[i]));
  }
}

TEST_F(EvaluateTest, AnEmptySplitHasNoLoss) {
  const EvaluationResult found = evaluate_on(2, 0, "sharded").front();
  EXPECT_EQ(found.samples, 0);
  EXPECT_EQ(found.loss, 0);
  EXPECT_EQ(found.accuracy(), 0);
}

}  // namespace
}  // namespace cifar

// What is said of each image, against plain LibTorch in float64, and how it is counted.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "small_run.h"
#include "thread_communicator.h"
#include "train/predictions.h"

namespace cifar {
namespace {

TEST(Predictions, AreThoseOfPlainLibTorchInOrder) {
  const ImageSet set = random_images(601);
  const Config config = small_config({"conv 4 stride 2", "relu", "flatten", "linear 10"});
  const auto network = make_network(config);
  const Precision precision("fp32", torch::kCPU);
  const std::vector<int32_t> order = backwards(601);
  const auto reference = make_network(config);
  reference->to(torch::kFloat64);
  const PlainBatch plain(set, order, {0, 601});
  const auto probabilities = reference->forward(plain.images, Pass{}).softmax(1);

  for (int ranks = 1; ranks <= 3; ++ranks) {
    run_ranks(ranks, [&](Communicator& comm) {
      Batches batches(std::make_shared<ResidentSet>(set, torch::kCPU), config.augmentation, false,
                      0);
      batches.set_order(order, 0);
      const auto found = predict(*network, batches, 601, "sharded", precision, comm);
      ASSERT_EQ(found.size(), 601u);
      for (int64_t i = 0; i < 601; ++i) {
        SCOPED_TRACE(i);
        EXPECT_EQ(found[i].label, order[i] % kClasses);
        const auto row = probabilities[i];
        EXPECT_EQ(found[i].guess, row.argmax().item<int64_t>());
        EXPECT_NEAR(found[i].probability, row.max().item<double>(), 1e-5);
        EXPECT_NEAR(found[i].loss, -row[found[i].label].log().item<double>(), 1e-5);
      }
    });
  }
}

TEST(Confusion, CountsByLabelAndGuess) {
  const Confusion confusion({{3, 3}, {3, 5}, {3, 5}, {3, 0}, {5, 5}, {9, 9}});
  EXPECT_EQ(confusion.counts[3][5], 2);
  EXPECT_EQ(confusion.samples(3), 4);
  EXPECT_EQ(confusion.right(3), 1);
  EXPECT_EQ(confusion.accuracy(3), 0.25);
  EXPECT_EQ(confusion.most_frequent_mistake(3), 5);
  EXPECT_EQ(confusion.accuracy(5), 1);
  EXPECT_EQ(confusion.most_frequent_mistake(5), -1);
  EXPECT_EQ(confusion.samples(0), 0);
  EXPECT_EQ(confusion.accuracy(0), 0);
  EXPECT_EQ(confusion.most_frequent_mistake(0), -1);
}

TEST(Confusion, MistakesComeTheSurestFirst) {
  const std::vector<Prediction> predictions = {
      {0, 1, 0.5}, {0, 0, 0.99}, {1, 2, 0.9}, {2, 3, 0.5}, {3, 1, 0.7}};
  EXPECT_EQ(confident_mistakes(predictions, 3), (std::vector<size_t>{2, 4, 0}));
  EXPECT_EQ(confident_mistakes(predictions, 9), (std::vector<size_t>{2, 4, 0, 3}));
  EXPECT_TRUE(confident_mistakes({{4, 4, 1}}, 3).empty());
}

}  // namespace
}  // namespace cifar

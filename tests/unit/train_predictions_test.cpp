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
  const Precision precision("fp32", torch::kCPU);
  const std::vector<int32_t> order = backwards(601);
  const auto reference = make_network(config);
  reference->to(torch::kFloat64);
  const PlainBatch plain(set, order, {0, 601});
  const auto probabilities = reference->forward(plain.images, Pass{}).softmax(1);

  for (int ranks = 1; ranks <= 3; ++ranks) {
    const auto network = networks(config, ranks);
    run_ranks(ranks, [&](Communicator& comm) {
      Batches batches(std::make_shared<ResidentSet>(set, torch::kCPU), config.augmentation, false,
                      0);
      batches.set_order(order, 0);
      Predictor predictor(*network[comm.rank()], batches, 601, "sharded", precision, comm);
      const auto found = predictor.predict();
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

// As a training does after each epoch.
TEST(Predictions, OfOnePredictorAreOfTheWeightsAsTheyAreThen) {
  const Config config = small_config({"flatten", "linear 10"});
  const auto network = make_network(config);
  Batches batches(std::make_shared<ResidentSet>(random_images(300), torch::kCPU),
                  config.augmentation, false, 0);
  batches.set_order(backwards(300), 0);
  ThreadTeam team(1);
  ThreadCommunicator comm(team, 0);
  Predictor predictor(*network, batches, 300, "sharded", Precision("fp32", torch::kCPU), comm);
  const auto before = predictor.predict();
  torch::NoGradGuard no_grad;
  for (const auto& parameter : network->parameters()) parameter.mul_(-1);
  const auto after = predictor.predict();
  int changed = 0;
  for (size_t i = 0; i < 300; ++i) changed += before[i].guess != after[i].guess;
  EXPECT_GT(changed, 250);
}

// The logits of a network for views made by torch's operators on normalised images, in float64.
class TestTimeAugmentationTest : public testing::Test {
 protected:
  static constexpr int64_t kSamples = 601;

  torch::Tensor images() const { return PlainBatch(set_, order_, {0, kSamples}).images; }
  torch::Tensor logits(const torch::Tensor& images) const {
    torch::NoGradGuard no_grad;
    return network_->forward(images, Pass{});
  }
  torch::Tensor with_mirror(const torch::Tensor& images) const {
    return (logits(images) + logits(images.flip(3))) / 2;
  }

  // Of all images.
  torch::Tensor averaged(const std::string& views) const {
    auto mean = with_mirror(images());
    if (views == "shift") {
      const auto padded = torch::reflection_pad2d(images(), {1, 1, 1, 1});
      const auto window = [&](int64_t at) {
        return with_mirror(padded.narrow(2, at, 32).narrow(3, at, 32));
      };
      mean = mean / 2 + (window(0) + window(2)) / 4;
    }
    return mean;
  }

  // Each rank's.
  std::vector<std::vector<Prediction>> found(const TrainConfig& train, int ranks) const {
    std::vector<std::vector<Prediction>> found(ranks);
    const auto network = networks(config_, ranks);
    run_ranks(ranks, [&](Communicator& comm) {
      Batches batches(std::make_shared<ResidentSet>(set_, torch::kCPU), config_.augmentation, false,
                      0);
      batches.set_order(order_, 0);
      found[comm.rank()] =
          Predictor(*network[comm.rank()], batches, kSamples, "sharded",
                    Precision("fp32", torch::kCPU), comm, TestTimeAugmentation(train))
              .predict();
    });
    return found;
  }

  void expect(const std::vector<Prediction>& found, const torch::Tensor& logits) const {
    ASSERT_EQ(found.size(), kSamples);
    const auto probabilities = logits.softmax(1);
    for (int64_t i = 0; i < kSamples; ++i) {
      SCOPED_TRACE(i);
      const auto row = probabilities[i];
      EXPECT_EQ(found[i].guess, row.argmax().item<int64_t>());
      EXPECT_NEAR(found[i].probability, row.max().item<double>(), 1e-5);
      EXPECT_NEAR(found[i].loss, -row[order_[i] % kClasses].log().item<double>(), 1e-5);
    }
  }

  const ImageSet set_ = random_images(kSamples);
  const Config config_ = small_config({"conv 4 stride 2", "relu", "flatten", "linear 10"});
  const std::vector<int32_t> order_ = backwards(kSamples);
  const std::shared_ptr<Network> network_ = [this] {
    const auto network = make_network(config_);
    network->to(torch::kFloat64);
    return network;
  }();
  const torch::Tensor plain_ = logits(images());
};

TEST_F(TestTimeAugmentationTest, AveragesTheLogitsOfTheViews) {
  for (const std::string views : {"mirror", "shift"}) {
    SCOPED_TRACE(views);
    TrainConfig train;
    train.tta = views;
    const auto expected = averaged(views);
    EXPECT_FALSE(torch::allclose(expected, plain_, 1e-2, 1e-2));
    expect(found(train, 1)[0], expected);
  }
}

TEST_F(TestTimeAugmentationTest, CanBeForTheLeastSureAlone) {
  TrainConfig train;
  train.tta = "shift";
  train.tta_uncertain = 0.2;
  const auto expected = plain_.clone();
  const auto probability = std::get<0>(plain_.softmax(1).max(1));
  const auto least = torch::argsort(probability).narrow(0, 0, 120);  // of 601
  expected.index_copy_(0, least, averaged("shift").index_select(0, least));
  expect(found(train, 1)[0], expected);
  train.tta_uncertain = 0;
  expect(found(train, 1)[0], plain_);
}

TEST_F(TestTimeAugmentationTest, GivesTheSameBitsOnAnyNumberOfRanks) {
  TrainConfig train;
  train.tta = "shift";
  for (const double uncertain : {0.5, 1.0}) {
    train.tta_uncertain = uncertain;
    const auto alone = found(train, 1)[0];
    for (const auto& one : found(train, 3)) {
      for (int64_t i = 0; i < kSamples; ++i) {
        EXPECT_EQ(one[i].guess, alone[i].guess);
        EXPECT_EQ(one[i].probability, alone[i].probability);
        EXPECT_EQ(one[i].loss, alone[i].loss);
      }
    }
  }
}

TEST(TestTimeAugmentationText, NamesTheViewsAndTheShare) {
  TrainConfig train;
  EXPECT_EQ(TestTimeAugmentation(train).text(), "");
  train.tta = "mirror";
  EXPECT_EQ(TestTimeAugmentation(train).text(), " with tta mirror");
  train.tta_uncertain = 0.125;
  EXPECT_EQ(TestTimeAugmentation(train).text(), " with tta mirror for the least sure 12.5 %");
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

// Whitening against the second moment of torch's im2col patches and an eigenvector test that needs
// no eigensolver of ours, and what it promises: independent outputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "refusal.h"
#include "small_run.h"
#include "train/whitening.h"

namespace cifar {
namespace {

const std::vector<double> kMean = {0.49, 0.48, 0.44}, kStd = {0.24, 0.25, 0.26};

// Neighbours and channels alike, as in photographs: a coarse picture of each image, and noise.
ImageSet smooth_images(int64_t count) {
  torch::manual_seed(4);
  const auto coarse =
      torch::randn({count, 1, 8, 8}).repeat_interleave(4, 2).repeat_interleave(4, 3);
  const auto tint = torch::randn({count, 3, 1, 1});
  const auto pixels =
      (120 + 45 * coarse + 25 * tint + 15 * torch::randn({count, 3, 32, 32})).clamp(0, 255);
  const auto records = torch::zeros({count, kRecordBytes}, torch::kUInt8);
  records.narrow(1, 1, kImageBytes).copy_(pixels.flatten(1));
  return ImageSet({{{records.const_data_ptr<uint8_t>(), [records](const uint8_t*) {}}, count}});
}

AugmentationConfig normalisation() {
  AugmentationConfig config;
  config.mean = kMean;
  config.std = kStd;
  config.flip = "random";  // must not matter
  config.crop_padding = 4;
  return config;
}

std::unique_ptr<Network> network_of(const std::string& whiten) {
  return std::make_unique<Network>(
      std::vector<std::string>{whiten, "gelu", "pool max all", "flatten", "linear 10"},
      Shape{3, 32, 32}, 10, 42);
}

torch::Tensor whitened(const std::string& line, const ImageSet& set,
                       const std::vector<int32_t>& train) {
  const auto network = network_of(line);
  whiten(*network, std::make_shared<ResidentSet>(set, torch::kCPU), train, normalisation());
  return network->named_parameters()["0.weight"].detach().clone();
}

// float64, of the patches of these images, by im2col.
torch::Tensor moment_of(const ImageSet& set, const std::vector<int32_t>& images, int64_t kernel) {
  const auto plain = PlainBatch(set, images, {0, static_cast<int64_t>(images.size())}).images;
  const auto channel = [](const std::vector<double>& values) {
    return torch::tensor(values, torch::kFloat64).view({1, 3, 1, 1});
  };
  const auto patches = torch::im2col((plain - channel(kMean)) / channel(kStd), {kernel, kernel},
                                     {1, 1}, {0, 0}, {1, 1});
  return torch::einsum("nil,njl->ij", {patches, patches}) /
         static_cast<double>(patches.size(0) * patches.size(2));
}

// The filters, a row each: v / sqrt(eigenvalue + epsilon) for a unit eigenvector v of the moment.
void expect_filters(const torch::Tensor& weight, const torch::Tensor& moment, double epsilon) {
  const int64_t length = moment.size(0);
  ASSERT_EQ(weight.size(0), 2 * length);
  const auto rows = weight.flatten(1).to(torch::kFloat64);
  EXPECT_TRUE(torch::equal(rows.narrow(0, length, length), -rows.narrow(0, 0, length)));
  double last = std::numeric_limits<double>::infinity(), trace = 0;
  for (int64_t i = 0; i < length; ++i) {
    SCOPED_TRACE(i);
    const auto v = rows[i] / rows[i].norm();
    const double eigenvalue = v.dot(moment.mv(v)).item<double>();
    EXPECT_LT((moment.mv(v) - eigenvalue * v).norm().item<double>(), 1e-5);
    EXPECT_NEAR(rows[i].norm().item<double>() * std::sqrt(eigenvalue + epsilon), 1, 1e-5);
    EXPECT_LE(eigenvalue, last);
    last = eigenvalue;
    trace += eigenvalue;
    const auto large = v.masked_select(v.abs() >= 0.5 * v.abs().max());
    EXPECT_GT(large[0].item<double>(), 0);
  }
  EXPECT_NEAR(trace, moment.trace().item<double>(), 1e-6 * trace);
}

std::vector<int32_t> first(int64_t count) {
  std::vector<int32_t> images(count);
  std::iota(images.begin(), images.end(), 0);
  return images;
}

TEST(Whitening, FiltersAreTheScaledEigenvectorsOfThePatches) {
  const ImageSet set = smooth_images(400);  // in more than one block
  for (const int64_t kernel : {1, 2, 3}) {
    SCOPED_TRACE(kernel);
    const std::string line = "whiten " + std::to_string(kernel) + " images 400";
    const auto moment = moment_of(set, first(400), kernel);
    expect_filters(whitened(line, set, first(400)), moment, 5e-4);
    expect_filters(whitened(line + " epsilon 0.3", set, first(400)), moment, 0.3);
  }
}

// The same moment over the outputs: diagonal, eigenvalue / (eigenvalue + epsilon).
TEST(Whitening, OutputsAreUncorrelatedAndOfUnitMoment) {
  const ImageSet set = smooth_images(300);
  const auto filters = whitened("whiten 2 images 300 epsilon 1e-8", set, first(300))
                           .narrow(0, 0, 12)
                           .flatten(1)
                           .to(torch::kFloat64);
  const auto outputs = filters.mm(moment_of(set, first(300), 2)).mm(filters.t());
  EXPECT_LT((outputs - torch::eye(12, torch::kFloat64)).abs().max().item<double>(), 1e-4);
}

TEST(Whitening, TakesTheFirstImagesOfTheSplit) {
  const ImageSet set = smooth_images(60);
  std::vector<int32_t> odd;  // the split: odd images, in disorder
  for (int32_t i = 0; i < 30; ++i) odd.push_back(2 * (i * 7 % 30) + 1);
  std::vector<int32_t> expected = odd;
  std::sort(expected.begin(), expected.end());
  expected.resize(11);
  const auto weight = whitened("whiten 2 images 11", set, odd);
  expect_filters(weight, moment_of(set, expected, 2), 5e-4);
  std::reverse(odd.begin(), odd.end());
  EXPECT_TRUE(torch::equal(weight, whitened("whiten 2 images 11", set, odd)));
}

// A constant image has one direction; the others have eigenvalue 0, and rounding may take it below.
TEST(Whitening, StaysFiniteWithoutVariance) {
  const auto records = torch::full({3, kRecordBytes}, 200, torch::kUInt8);
  const ImageSet set(
      {{{records.const_data_ptr<uint8_t>(), [records](const uint8_t*) {}}, records.size(0)}});
  const auto weight = whitened("whiten 2 images 3", set, first(3));
  EXPECT_TRUE(weight.isfinite().all().item<bool>());
  EXPECT_NEAR(weight.flatten(1).norm(2, 1).max().item<double>(), 1 / std::sqrt(5e-4), 1e-3);
}

TEST(Whitening, KeepsTheWeightInItsPlaceAndFrozen) {
  const auto network = network_of("whiten 2 images 5");
  const FlatState state(*network, torch::kCPU);
  const auto bias = network->named_parameters()["0.bias"].detach().clone();
  const std::string before = state.hash();
  whiten(*network, std::make_shared<ResidentSet>(smooth_images(5), torch::kCPU), first(5),
         normalisation());
  EXPECT_NE(state.hash(), before);  // the flat tensor sees it
  EXPECT_FALSE(network->named_parameters()["0.weight"].requires_grad());
  EXPECT_TRUE(torch::equal(network->named_parameters()["0.bias"], bias));
}

TEST(Whitening, LeavesOtherNetworksAlone) {
  Network network({"conv 4", "flatten", "linear 10"}, {3, 32, 32}, 10, 42);
  const auto before = network.named_parameters()["0.weight"].detach().clone();
  whiten(network, std::make_shared<ResidentSet>(random_images(2), torch::kCPU), {}, {});
  EXPECT_TRUE(torch::equal(network.named_parameters()["0.weight"], before));
}

TEST(Whitening, RefusesMoreImagesThanTheSplitHas) {
  EXPECT_EQ(refusal(ExitCode::kUsage,
                    [] { whitened("whiten 2 images 11", random_images(40), first(10)); }),
            "layer 0 (\"whiten\"): images 11; expected at most 10, the images of the train split");
}

}  // namespace
}  // namespace cifar

// What one pixel goes through, against crops, flips and normalisation written with torch's own
// operators.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <vector>

#include "data/augment.h"

namespace cifar {
namespace {

constexpr int kSize = 32;

Augmentation crop_and_flip(int padding) {
  return {true, padding, {0, 0, 0}, {1, 1, 1}};
}

torch::Tensor random_plane() {
  torch::manual_seed(1);
  return torch::randint(1, 256, {kSize, kSize}, torch::kUInt8);
}

// torchvision's RandomCrop(32, padding) at a given place, then the flip.
torch::Tensor reference(const torch::Tensor& plane, const Placement& placement, int padding) {
  const auto padded = torch::constant_pad_nd(plane, {padding, padding, padding, padding});
  const auto crop =
      padded.narrow(0, padding + placement.dy, kSize).narrow(1, padding + placement.dx, kSize);
  return placement.mirrored ? crop.flip({1}) : crop;
}

torch::Tensor ours(const torch::Tensor& plane, const Placement& placement, float mean, float std) {
  torch::Tensor out = torch::empty({kSize, kSize});
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      out.data_ptr<float>()[y * kSize + x] =
          augmented(plane.const_data_ptr<uint8_t>(), kSize, placement, x, y, mean, std);
    }
  }
  return out;
}

TEST(Augmented, IsTorchsCropAndFlipAtEveryPlacement) {
  const torch::Tensor plane = random_plane();
  for (const int padding : {0, 1, 4}) {
    for (int dy = -padding; dy <= padding; ++dy) {
      for (int dx = -padding; dx <= padding; ++dx) {
        for (const bool mirrored : {false, true}) {
          const Placement placement = {dx, dy, mirrored};
          const auto expected = reference(plane, placement, padding).to(torch::kFloat).div(255);
          EXPECT_TRUE(torch::equal(ours(plane, placement, 0, 1), expected))
              << "dx " << dx << " dy " << dy << (mirrored ? " mirrored" : "");
        }
      }
    }
  }
}

TEST(Augmented, NormalisesThePaddingAsBlack) {
  const torch::Tensor white = torch::full({kSize, kSize}, 255, torch::kUInt8);
  const auto out = ours(white, {4, -4, false}, 0.25f, 0.5f);
  EXPECT_EQ(out[0][0].item<float>(), -0.5f);
  EXPECT_EQ(out[4][27].item<float>(), 1.5f);
  EXPECT_EQ(out[4][28].item<float>(), -0.5f);
}

// torchvision: ToTensor is x.to(float32).div(255), Normalize is x.sub_(mean).div_(std) with mean
// and std as float32 tensors.
TEST(Normalised, HasTheBitsOfToTensorAndNormalize) {
  const auto values = torch::arange(256).to(torch::kFloat).div(255);
  const std::vector<std::pair<double, double>> cases = {
      {0, 1}, {0.4914, 0.2470}, {0.4822, 0.2435}, {0.4465, 0.2616}, {0.5, 0.5}};
  for (const auto& [mean, std] : cases) {
    const auto expected = values.clone()
                              .sub_(torch::tensor({mean}, torch::kFloat))
                              .div_(torch::tensor({std}, torch::kFloat));
    for (int value = 0; value < 256; ++value) {
      EXPECT_EQ(normalised(static_cast<uint8_t>(value), static_cast<float>(mean),
                           static_cast<float>(std)),
                expected[value].item<float>())
          << value << " with mean " << mean << " and std " << std;
    }
  }
}

TEST(Normalised, IsADivisionBy255WithoutMeanAndStd) {
  for (int value = 0; value < 256; ++value) {
    EXPECT_EQ(normalised(static_cast<uint8_t>(value), 0, 1), static_cast<float>(value) / 255.0f);
  }
}

// From the Python implementation of Philox that data_sampler_test.cpp shows, with counter
// [epoch, image, 0, 3] and key [42, 0]: shifts (word * 9 >> 32) - 4, mirrored by the top bit.
TEST(Place, GivesTheReferenceValues) {
  const auto expect = [](uint32_t epoch, uint32_t image, Placement expected) {
    const Placement found = place(crop_and_flip(4), 42, epoch, image);
    EXPECT_EQ(found.dx, expected.dx);
    EXPECT_EQ(found.dy, expected.dy);
    EXPECT_EQ(found.mirrored, expected.mirrored);
  };
  expect(0, 0, {1, 0, false});
  expect(0, 1, {3, 3, false});
  expect(5, 49999, {-4, -2, true});
}

TEST(Place, LeavesTheImageAloneWhenBothAreOff) {
  for (uint32_t image = 0; image < 100; ++image) {
    const Placement found = place({false, 0, {0, 0, 0}, {1, 1, 1}}, 42, 3, image);
    EXPECT_TRUE(found.dx == 0 && found.dy == 0 && !found.mirrored);
  }
}

TEST(Place, DrawsTheShiftAloneOrTheFlipAlone) {
  int moved = 0, mirrored = 0;
  for (uint32_t image = 0; image < 100; ++image) {
    const Placement shift = place({false, 4, {0, 0, 0}, {1, 1, 1}}, 42, 3, image);
    const Placement flip = place({true, 0, {0, 0, 0}, {1, 1, 1}}, 42, 3, image);
    EXPECT_FALSE(shift.mirrored);
    EXPECT_TRUE(flip.dx == 0 && flip.dy == 0);
    moved += shift.dx != 0 || shift.dy != 0;
    mirrored += flip.mirrored;
  }
  EXPECT_GT(moved, 80);
  EXPECT_GT(mirrored, 20);
  EXPECT_LT(mirrored, 80);
}

// 9 x 9 shifts, mirrored or not: 162 equal chances, 161 degrees of freedom; the 99.99th percentile
// of the chi-square is 237 (Wilson and Hilferty).
TEST(Place, IsUniformOverShiftsAndFlips) {
  constexpr int kDraws = 81000;
  int counts[162] = {};
  for (uint32_t i = 0; i < kDraws; ++i) {
    const Placement found = place(crop_and_flip(4), 42, i / 45000, i % 45000);
    ASSERT_TRUE(found.dx >= -4 && found.dx <= 4 && found.dy >= -4 && found.dy <= 4);
    ++counts[((found.dy + 4) * 9 + found.dx + 4) * 2 + found.mirrored];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 500.0) * (count - 500.0) / 500.0;
  EXPECT_LT(chi_square, 237);
}

}  // namespace
}  // namespace cifar

// What one pixel goes through, against crops, flips, normalisation, jitter and cutout written with
// torch's own operators.
#include <gtest/gtest.h>
#include <torch/types.h>

#include <vector>

#include "data/augment.h"

namespace cifar {
namespace {

constexpr int kSize = 32;

Augmentation crop_and_flip(int padding) {
  return {.flip = Flip::kRandom, .padding = padding};
}

torch::Tensor random_plane() {
  torch::manual_seed(1);
  return torch::randint(1, 256, {kSize, kSize}, torch::kUInt8);
}

// torchvision's RandomCrop(32, padding) at a given place, then the flip.
torch::Tensor reference(const torch::Tensor& plane, const Placement& placement, int padding,
                        bool reflect = false) {
  const std::vector<int64_t> sides(4, padding);
  const auto padded =
      reflect ? torch::reflection_pad2d(plane.to(torch::kFloat).unsqueeze(0), sides)[0].to(
                    torch::kUInt8)
              : torch::constant_pad_nd(plane, sides);
  const auto crop =
      padded.narrow(0, padding + placement.dy, kSize).narrow(1, padding + placement.dx, kSize);
  return placement.mirrored ? crop.flip({1}) : crop;
}

torch::Tensor ours(const torch::Tensor& plane, const Transform& transform, float mean, float std,
                   bool reflect = false) {
  torch::Tensor out = torch::empty({kSize, kSize});
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      out.data_ptr<float>()[y * kSize + x] =
          augmented(plane.const_data_ptr<uint8_t>(), kSize, transform, reflect, x, y, mean, std);
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
          EXPECT_TRUE(torch::equal(ours(plane, {placement}, 0, 1), expected))
              << "dx " << dx << " dy " << dy << (mirrored ? " mirrored" : "");
        }
      }
    }
  }
}

TEST(Augmented, ReflectsAsTorchDoes) {
  const torch::Tensor plane = random_plane();
  for (const int padding : {1, 2, 31}) {
    for (const int dy : {-padding, 0, padding}) {
      for (const int dx : {-padding, -1, padding}) {
        for (const bool mirrored : {false, true}) {
          const Placement placement = {dx, dy, mirrored};
          const auto expected = reference(plane, placement, padding, true);
          EXPECT_TRUE(torch::equal(ours(plane, {placement}, 0, 1, true),
                                   expected.to(torch::kFloat).div(255)))
              << "dx " << dx << " dy " << dy << (mirrored ? " mirrored" : "");
        }
      }
    }
  }
}

TEST(Augmented, JittersTheNormalisedValueThenCutsOut) {
  const torch::Tensor plane = random_plane();
  const Transform transform = {{2, -1, true}, {0.125f, 0.75f}, {5, 20, 12}};
  auto expected = reference(plane, transform.placement, 2).to(torch::kFloat).div(255);
  expected = expected.sub(0.25f).div(0.3f).add(0.125f).mul(0.75f);
  expected.narrow(0, 20, 12).narrow(1, 5, 12).zero_();
  EXPECT_TRUE(torch::equal(ours(plane, transform, 0.25f, 0.3f), expected));
}

TEST(Augmented, NormalisesThePaddingAsBlack) {
  const torch::Tensor white = torch::full({kSize, kSize}, 255, torch::kUInt8);
  const auto out = ours(white, {.placement = {4, -4, false}}, 0.25f, 0.5f);
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

// The same draws, of epoch 0, turned round in odd epochs.
TEST(Place, AlternatesFromTheFirstEpochsFlip) {
  const Augmentation alternating = {.flip = Flip::kAlternating, .padding = 4};
  const auto mirrored = [&](uint32_t epoch, uint32_t image) {
    return place(alternating, 42, epoch, image).mirrored;
  };
  EXPECT_FALSE(mirrored(0, 0));
  EXPECT_FALSE(mirrored(5, 49999));  // the bit of epoch 0 is 1
  EXPECT_TRUE(mirrored(3, 7));       // and here 0
  int in_first = 0;
  for (uint32_t image = 0; image < 1000; ++image) {
    const bool first = place(crop_and_flip(4), 42, 0, image).mirrored;
    in_first += first;
    for (uint32_t epoch = 0; epoch < 5; ++epoch) {
      const Placement random = place(crop_and_flip(4), 42, epoch, image);
      const Placement found = place(alternating, 42, epoch, image);
      EXPECT_EQ(found.mirrored, first != (epoch % 2 == 1));
      EXPECT_TRUE(found.dx == random.dx && found.dy == random.dy);
    }
  }
  EXPECT_NEAR(in_first, 500, 80);  // five standard deviations
}

TEST(Place, GivesTheViewWhenNothingIsDrawn) {
  const Placement found = place({.view = {-1, 1, true}}, 42, 3, 7);
  EXPECT_TRUE(found.dx == -1 && found.dy == 1 && found.mirrored);
}

// By the same Python implementation, with counter [epoch, image, 1, 3]: the cutout's corner is
// word * 25 >> 32, the jitter's draw 2 * (word >> 8) / 2^24 - 1.
TEST(TransformOf, GivesTheReferenceValues) {
  const Augmentation augmentation = {.cutout = 8, .brightness = 0.5f, .contrast = 0.25f};
  const auto expect = [&](uint32_t epoch, uint32_t image, int x, int y, double u, double v) {
    const Transform found = transform_of(augmentation, kSize, 42, epoch, image);
    EXPECT_EQ(found.cutout.x, x);
    EXPECT_EQ(found.cutout.y, y);
    EXPECT_EQ(found.cutout.size, 8);
    EXPECT_FLOAT_EQ(found.jitter.shift, static_cast<float>(0.5 * u));
    EXPECT_FLOAT_EQ(found.jitter.scale, static_cast<float>(1 + 0.25 * v));
  };
  expect(0, 0, 21, 7, -0.777056097984314, 0.16905343532562256);
  expect(0, 1, 5, 13, 0.8074085712432861, 0.3561185598373413);
  expect(5, 49999, 7, 17, -0.5154600143432617, -0.2640036344528198);
}

TEST(TransformOf, LeavesThePlacementsOfTheSeedAsTheyAre) {
  Augmentation more = crop_and_flip(4);
  more.cutout = 12;
  more.brightness = 0.1f;
  for (uint32_t image = 0; image < 100; ++image) {
    const Placement expected = place(crop_and_flip(4), 42, 3, image);
    const Placement found = transform_of(more, kSize, 42, 3, image).placement;
    EXPECT_TRUE(found.dx == expected.dx && found.dy == expected.dy &&
                found.mirrored == expected.mirrored);
  }
}

// 25 x 25 places: 624 degrees of freedom; the 99.99th percentile of the chi-square is 763 (Wilson
// and Hilferty).
TEST(TransformOf, PutsTheCutoutWhollyInsideUniformly) {
  constexpr int kDraws = 62500;
  int counts[625] = {};
  for (uint32_t i = 0; i < kDraws; ++i) {
    const Square found = transform_of({.cutout = 8}, kSize, 42, i / 45000, i % 45000).cutout;
    ASSERT_TRUE(found.x >= 0 && found.x <= 24 && found.y >= 0 && found.y <= 24);
    ++counts[found.y * 25 + found.x];
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 100.0) * (count - 100.0) / 100.0;
  EXPECT_LT(chi_square, 763);
}

TEST(TransformOf, TheLargestCutoutIsTheWholeImage) {
  const Square found = transform_of({.cutout = kSize}, kSize, 42, 0, 0).cutout;
  EXPECT_TRUE(found.x == 0 && found.y == 0 && found.size == kSize);
}

TEST(Place, LeavesTheImageAloneWhenBothAreOff) {
  for (uint32_t image = 0; image < 100; ++image) {
    const Placement found = place(Augmentation{}, 42, 3, image);
    EXPECT_TRUE(found.dx == 0 && found.dy == 0 && !found.mirrored);
  }
}

TEST(Place, DrawsTheShiftAloneOrTheFlipAlone) {
  int moved = 0, mirrored = 0;
  for (uint32_t image = 0; image < 100; ++image) {
    const Placement shift = place({.padding = 4}, 42, 3, image);
    const Placement flip = place({.flip = Flip::kRandom}, 42, 3, image);
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

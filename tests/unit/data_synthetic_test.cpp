// The synthetic images: their format, their determinism, and that a class can be told.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <memory>
#include <numbers>

#include "data/synthetic.h"

namespace cifar {
namespace {

class Synthetic : public testing::Test {
 protected:
  static void SetUpTestSuite() { data_ = std::make_unique<Dataset>(make_synthetic()); }
  static void TearDownTestSuite() { data_.reset(); }
  static std::unique_ptr<Dataset> data_;
};
std::unique_ptr<Dataset> Synthetic::data_;

// The energy of an image in gratings whose direction is that of class k: the sum, over some periods
// and the three planes, of squared Fourier coefficients (a matched filter for an unknown phase).
double energy(const uint8_t* image, int k) {
  double sum = 0;
  for (double turns = 24; turns < 44; turns += 4) {  // per pixel, of 256
    const double angle = k * std::numbers::pi / 10, omega = 2 * std::numbers::pi * turns / 256;
    for (int c = 0; c < kChannels; ++c) {
      std::complex<double> coefficient = 0;
      for (int i = 0; i < kPixels; ++i) {
        const double along =
            std::cos(angle) * (i % kImageSize) + std::sin(angle) * (i / kImageSize);
        coefficient += (image[c * kPixels + i] - 128.0) * std::polar(1.0, -omega * along);
      }
      sum += std::norm(coefficient);
    }
  }
  return sum;
}

int strongest_direction(const uint8_t* image) {
  std::array<double, kClasses> energies;
  for (int k = 0; k < kClasses; ++k) energies[k] = energy(image, k);
  return static_cast<int>(std::max_element(energies.begin(), energies.end()) - energies.begin());
}

TEST_F(Synthetic, SaysWhatItIsAndHasTheSizesOfCifar10) {
  EXPECT_TRUE(data_->synthetic);
  EXPECT_EQ(data_->name, "synthetic");
  EXPECT_EQ(data_->train.size(), 50000);
  EXPECT_EQ(data_->test.size(), 10000);
}

TEST_F(Synthetic, IsAFunctionOfTheIndexAlone) {
  const Dataset again = make_synthetic();
  EXPECT_TRUE(std::equal(again.train.image(0) - 1, again.train.image(49999) + kImageBytes,
                         data_->train.image(0) - 1));
  EXPECT_TRUE(std::equal(again.test.image(0) - 1, again.test.image(9999) + kImageBytes,
                         data_->test.image(0) - 1));
}

// Ten classes of equal chance: the counts' chi-square has 9 degrees of freedom; 27.9 is its 99.9th
// percentile.
TEST_F(Synthetic, HasTenClassesOfNearlyEqualSize) {
  for (const ImageSet* set : {&data_->train, &data_->test}) {
    const double expected = static_cast<double>(set->size()) / kClasses;
    double chi_square = 0;
    for (const int64_t count : set->class_counts()) {
      chi_square += (count - expected) * (count - expected) / expected;
    }
    EXPECT_LT(chi_square, 27.9);
  }
}

TEST_F(Synthetic, RepeatsNoImage) {
  for (int64_t i = 1; i < 1000; ++i) {
    EXPECT_FALSE(std::equal(data_->train.image(i), data_->train.image(i) + kImageBytes,
                            data_->train.image(i - 1)));
    EXPECT_FALSE(std::equal(data_->test.image(i), data_->test.image(i) + kImageBytes,
                            data_->train.image(i)));
  }
}

// A matched filter, which no network has to be, tells most classes: there is something to learn.
// It is wrong where the distraction prevails: there is something left to learn.
TEST_F(Synthetic, TellsTheClassByTheDirectionOfItsStripes) {
  int right = 0;
  for (int64_t i = 0; i < 200; ++i) {
    right += strongest_direction(data_->test.image(i)) == data_->test.label(i);
  }
  EXPECT_GT(right, 120);
  EXPECT_LT(right, 200);
}

}  // namespace
}  // namespace cifar

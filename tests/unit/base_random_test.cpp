// Philox against the published vectors, and the bounds of what is made from its words.
#include <gtest/gtest.h>

#include "base/random.h"

namespace cifar {
namespace {

void expect_philox(Random4 counter, uint32_t key0, uint32_t key1, Random4 expected) {
  const Random4 found = philox4x32(counter, key0, key1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(found.word[i], expected.word[i]) << "word " << i;
}

// The philox4x32-10 lines of Random123's kat_vectors (D. E. Shaw Research, version 1.14).
TEST(Philox, GivesThePublishedVectors) {
  expect_philox({{0, 0, 0, 0}}, 0, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  expect_philox({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffff, 0xffffffff,
                {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  expect_philox({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0,
                {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(Draw, PutsThePurposeInTheLastWordAndTheSeedInTheKey) {
  const Random4 found = draw(0x0123456789abcdef, Purpose::kAugment, 7, 8, 9);
  expect_philox({{7, 8, 9, 3}}, 0x89abcdef, 0x01234567, found);
}

TEST(Draw, DiffersByPurpose) {
  EXPECT_NE(draw(1, Purpose::kSplit, 5).word[0], draw(1, Purpose::kShuffle, 5).word[0]);
}

TEST(Below, CoversItsRangeAndNoMore) {
  for (const uint32_t bound : {1u, 2u, 3u, 10u, 50000u, 0xffffffffu}) {
    EXPECT_EQ(below(0, bound), 0u);
    EXPECT_EQ(below(0xffffffff, bound), bound - 1);
  }
  EXPECT_EQ(below(0x7fffffff, 2), 0u);
  EXPECT_EQ(below(0x80000000, 2), 1u);
}

TEST(UnitFloat, LiesInZeroToBelowOne) {
  EXPECT_EQ(unit_float(0), 0.0f);
  EXPECT_EQ(unit_float(0x80000000), 0.5f);
  EXPECT_EQ(unit_float(0xffffffff), 1.0f - 0x1p-24f);  // the largest float below 1
}

}  // namespace
}  // namespace cifar

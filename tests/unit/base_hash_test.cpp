// Against the test vectors that xxHash publishes (its sanity check, XXH3_128bits with seed 0).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "base/hash.h"

namespace cifar {
namespace {

// The vectors' input: the top bytes of a geometric sequence modulo 2^64.
std::string sanity_bytes(size_t size) {
  std::string bytes;
  for (uint64_t state = 2654435761u; bytes.size() < size; state *= 11400714785074694797u) {
    bytes.push_back(static_cast<char>(state >> 56));
  }
  return bytes;
}

const std::pair<size_t, const char*> kVectors[] = {
    {0, "99aa06d3014798d86001c324468d497f"},    {1, "a6cd5e9392000f6ac44bdff4074eecdb"},
    {6, "082afe0b8162d12a3e7039bdda43cfc6"},    {12, "6e3efd8fc7802b18061a192713f69ad9"},
    {24, "0ce966e4678d37611e7044d28b1b901d"},   {48, "a002ac4e5478227ef942219aed80f67b"},
    {222, "337e09641b948717f1aebd597cec6b3a"},  {403, "1b6de21e332dd73dcdeb804d65c6dea4"},
    {2048, "f736557fd47073a5dd59e2c3a5f038e0"}, {2367, "e89c0f6ff369b427cb37aeb9e5d361ed"},
};

TEST(Hash, IsXxh3Of128Bits) {
  for (const auto& [size, expected] : kVectors) EXPECT_EQ(hash_of(sanity_bytes(size)), expected);
}

TEST(Hasher, DoesNotDependOnHowTheBytesAreCut) {
  for (const size_t piece : {1, 3, 64, 1000}) {
    for (const auto& [size, expected] : kVectors) {
      const std::string bytes = sanity_bytes(size);
      Hasher hasher;
      for (size_t first = 0; first < size; first += piece) {
        hasher.update(bytes.data() + first, std::min(piece, size - first));
      }
      EXPECT_EQ(hasher.digest(), expected) << size << " bytes in pieces of " << piece;
    }
  }
}

TEST(Hasher, GoesOnAfterADigest) {
  Hasher hasher;
  EXPECT_EQ(hasher.digest(), kVectors[0].second);
  const std::string bytes = sanity_bytes(6);
  hasher.update(bytes.data(), 1);
  EXPECT_EQ(hasher.digest(), kVectors[1].second);
  hasher.update(bytes.data() + 1, 5);
  EXPECT_EQ(hasher.digest(), kVectors[2].second);
}

}  // namespace
}  // namespace cifar

// Mutated pictures are refused or decoded, whole; what they claim to be is not allocated.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "base/jpeg.h"
#include "base/png.h"
#include "base64.h"
#include "data/pictures.h"
#include "fuzz.h"
#include "python_reference.h"

namespace cifar {
namespace {

// CRC-32 as PNG has it (its specification, annex D).
uint32_t crc_of(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc ^= static_cast<uint8_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t number = 0;
  for (size_t i = 0; i < 4; ++i) number = number << 8 | static_cast<uint8_t>(bytes[at + i]);
  return number;
}

// With the right checksum on every chunk, so that what is behind the check is met.
std::string with_checksums(std::string png) {
  for (size_t at = 8; at + 12 <= png.size();) {
    const size_t length = big_endian(png, at);
    if (length > png.size() - at - 12) break;
    const uint32_t crc = crc_of(std::string_view(png).substr(at + 4, length + 4));
    for (size_t i = 0; i < 4; ++i)
      png[at + 8 + length + i] = static_cast<char>(crc >> (24 - 8 * i));
    at += length + 12;
  }
  return png;
}

class Decodings {
 public:
  ~Decodings() { std::printf("%d pictures, %d errors\n", pictures, errors); }

  void decode(RgbImage (*decoder)(std::string_view), const std::string& bytes) {
    try {
      const RgbImage image = decoder(bytes);
      ++pictures;
      EXPECT_EQ(image.rgb.size(), size_t(image.width) * image.height * 3);
      EXPECT_EQ(centre_square(image, 32).rgb.size(), 32u * 32 * 3);
    } catch (const std::runtime_error& error) {
      ++errors;
      const std::string text = error.what();
      EXPECT_FALSE(text.empty());
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
  int pictures = 0, errors = 0;
};

RgbImage picture() {
  RgbImage image{24, 24};
  for (int i = 0; i < 24 * 24 * 3; ++i) image.rgb.push_back(static_cast<uint8_t>(i * i / 7));
  return image;
}

TEST(FuzzPictures, MutatedPngsAreRefusedOrDecoded) {
  const std::string png = encode_png(picture()), donor = encode_png({1, 1, {1, 2, 3}});
  Mutator mutator(9);
  Decodings decodings;
  decodings.decode(decode_png, png);
  ASSERT_EQ(decodings.pictures, 1);
  for (int i = 0; i < 3000; ++i) {
    SCOPED_TRACE(i);
    const bool head = mutator.chance(30);  // the size and kind of the picture
    const std::string mutant = mutator.mutate(png, donor, head ? 16 : 8, head ? 29 : png.size());
    decodings.decode(decode_png, mutator.chance(80) ? with_checksums(mutant) : mutant);
  }
  EXPECT_GT(decodings.pictures, 10);  // deflate has a checksum of its own
  EXPECT_GT(decodings.errors, 1000);
}

TEST(FuzzPictures, MutatedJpegsAreRefusedOrDecoded) {
  const std::string files[] = {from_base64(reference::colour_jpeg),
                               from_base64(reference::progressive_jpeg),
                               from_base64(reference::cmyk_jpeg)};
  Mutator mutator(10);
  Decodings decodings;
  for (const std::string& file : files) decodings.decode(decode_jpeg, file);
  ASSERT_EQ(decodings.pictures, 3);
  for (int i = 0; i < 3000; ++i) {
    SCOPED_TRACE(i);
    const std::string& file = files[mutator.below(3)];
    decodings.decode(decode_jpeg, mutator.mutate(file, files[mutator.below(3)], 2, file.size()));
  }
  EXPECT_GT(decodings.pictures, 100);
  EXPECT_GT(decodings.errors, 100);
}

}  // namespace
}  // namespace cifar

#include "data/synthetic.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/random.h"

namespace cifar {
namespace {

// Chosen so that the article's network reaches 0.89 of the validation images after its first epoch,
// 0.91 after its second. 128 times the largest sum must fit 16 bits: 1.5 (18 + 12) + 64 < 256.
constexpr int kStrength = 18;
constexpr int kDistraction = 12;
constexpr int kNoise = 64;

constexpr int kNoiseBlocks = kImageBytes / 16;  // blocks 0 ... of an image; its own draws follow

// round(256 cos(a)), round(256 sin(a)) for a = 0, 18, ... 162 degrees: the direction of each class.
constexpr int kDirections[kClasses][2] = {{256, 0},    {243, 79}, {207, 150}, {150, 207},
                                          {79, 243},   {0, 256},  {-79, 243}, {-150, 207},
                                          {-207, 150}, {-243, 79}};

// Stripes across a direction: the phase at (x, y) is phase + x dx + y dy, in turns / 65536.
struct Stripes {
  int dx;
  int dy;
  int phase;
  int16_t amplitude[kChannels];  // of 64
};

Stripes make_stripes(int direction, int strength, const Random4& shape, const Random4& colour) {
  const int speed = 24 + static_cast<int>(below(shape.word[0], 20));  // a period of 6 to 11 pixels
  Stripes stripes = {kDirections[direction][0] * speed,
                     kDirections[direction][1] * speed,
                     static_cast<int>(shape.word[1] >> 16),
                     {}};
  for (int c = 0; c < kChannels; ++c) {
    stripes.amplitude[c] =
        static_cast<int16_t>(strength / 2 + static_cast<int>(below(colour.word[c], strength)));
  }
  return stripes;
}

// A row of a sine made of two parabolas, -128 to 128. The types are narrow for the vectoriser.
void wave_row(const Stripes& stripes, int y, int16_t* out) {
  auto phase = static_cast<uint16_t>(stripes.phase + y * stripes.dy);
  for (int x = 0; x < kImageSize; ++x) {
    out[x] = static_cast<int16_t>(phase >> 8);
    phase = static_cast<uint16_t>(phase + stripes.dx);
  }
  for (int x = 0; x < kImageSize; ++x) {
    const int16_t half = out[x] & 127;
    const auto height = static_cast<int16_t>(static_cast<int16_t>(half * (128 - half)) >> 5);
    const auto sign = static_cast<int16_t>(-(out[x] >> 7));  // 0 or -1
    out[x] = static_cast<int16_t>((height ^ sign) - sign);
  }
}

// 32 bytes of noise, -128 to 127.
void noise_row(uint32_t index, uint32_t row, int16_t* out) {
  for (uint32_t block = 0; block < 2; ++block) {
    const Random4 random = draw(0, Purpose::kSynthetic, index, 2 * row + block);
    for (int byte = 0; byte < 4; ++byte) {
      for (int i = 0; i < 4; ++i) {
        out[16 * block + 4 * byte + i] =
            static_cast<int16_t>(static_cast<int>((random.word[i] >> (8 * byte)) & 255) - 128);
      }
    }
  }
}

// Stripes in the class's direction under noise and under weaker stripes in any direction, so that
// the class is told by what prevails. Colour, period and phase say nothing.
void make_record(uint32_t index, uint8_t* record) {
  const auto own = [index](uint32_t i) {
    return draw(0, Purpose::kSynthetic, index, kNoiseBlocks + i);
  };
  const Random4 random = own(0);
  const int label = static_cast<int>(below(random.word[0], kClasses));
  const Stripes stripes = make_stripes(label, kStrength, own(1), own(2));
  const Stripes distraction =
      make_stripes(static_cast<int>(below(random.word[1], kClasses)), kDistraction, own(3), own(4));
  record[0] = static_cast<uint8_t>(label);

  int16_t wave[kImageSize], other[kImageSize], noise[kImageSize];
  for (int y = 0; y < kImageSize; ++y) {
    wave_row(stripes, y, wave);
    wave_row(distraction, y, other);
    for (int c = 0; c < kChannels; ++c) {
      noise_row(index, static_cast<uint32_t>(c * kImageSize + y), noise);
      uint8_t* row = record + 1 + c * kPixels + y * kImageSize;
      for (int x = 0; x < kImageSize; ++x) {
        const auto sum =
            static_cast<int16_t>(stripes.amplitude[c] * wave[x] +
                                 distraction.amplitude[c] * other[x] + kNoise * noise[x]);
        const auto value = static_cast<int16_t>(128 + (sum >> 6));
        row[x] = static_cast<uint8_t>(std::min<int16_t>(std::max<int16_t>(value, 0), 255));
      }
    }
  }
}

ImageSet make_set(uint32_t first, int64_t images) {
  const auto bytes = std::make_shared_for_overwrite<uint8_t[]>(images * kRecordBytes);
  for (int64_t i = 0; i < images; ++i) {
    make_record(first + static_cast<uint32_t>(i), bytes.get() + i * kRecordBytes);
  }
  return ImageSet({{{bytes, bytes.get()}, images}});
}

}  // namespace

Dataset make_synthetic() {
  return {make_set(0, kTrainImages), make_set(kTrainImages, kTestImages), "synthetic", true};
}

}  // namespace cifar

// Batches against the same images stacked, cropped, flipped and normalised by torch's operators.
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <memory>
#include <numeric>
#include <vector>

#include "data/batches.h"

namespace cifar {
namespace {

constexpr int kImages = 40;
constexpr uint64_t kSeed = 42;
constexpr int64_t kEpoch = 3;

// Two blocks of random records, the last one shorter; image i has label i % 10.
ImageSet random_set() {
  torch::manual_seed(1);
  const auto bytes =
      torch::randint(0, 256, {kImages, kRecordBytes}, torch::TensorOptions(torch::kUInt8));
  bytes.select(1, 0).copy_(torch::arange(kImages) % kClasses);
  const auto block = [&bytes](int64_t first, int64_t records) {
    return RecordBlock{{bytes[first].const_data_ptr<uint8_t>(), [bytes](const uint8_t*) {}},
                       records};
  };
  return ImageSet({block(0, 25), block(25, 15)});
}

AugmentationConfig config(bool flip, int64_t padding) {
  AugmentationConfig config;
  config.flip = flip;
  config.crop_padding = padding;
  return config;
}

AugmentationConfig normalising(AugmentationConfig config) {
  config.mean = {0.4914, 0.4822, 0.4465};
  config.std = {0.2470, 0.2435, 0.2616};
  return config;
}

std::vector<int32_t> backwards() {
  std::vector<int32_t> order(kImages);
  std::iota(order.rbegin(), order.rend(), 0);
  return order;
}

Batches make(const AugmentationConfig& config, bool augment, torch::Device device = torch::kCPU) {
  Batches batches(std::make_shared<ResidentSet>(random_set(), device), config, augment, kSeed);
  batches.set_order(backwards(), kEpoch);
  return batches;
}

// Image `sample` as torchvision would give it, from its placement.
torch::Tensor reference(const AugmentationConfig& config, int sample) {
  const ImageSet set = random_set();
  const auto image =
      torch::from_blob(const_cast<uint8_t*>(set.image(sample)), {3, 32, 32}, torch::kUInt8);
  const auto p = config.crop_padding;
  const Placement placement =
      place({config.flip, static_cast<int>(p), {}, {}}, kSeed, kEpoch, sample);
  auto crop = torch::constant_pad_nd(image, {p, p, p, p})
                  .narrow(1, p + placement.dy, 32)
                  .narrow(2, p + placement.dx, 32);
  if (placement.mirrored) crop = crop.flip({2});
  const auto channels = [](const std::vector<double>& values) {
    return torch::tensor(values, torch::kFloat).view({3, 1, 1});
  };
  return crop.to(torch::kFloat).div(255).sub(channels(config.mean)).div(channels(config.std));
}

// All images of the set in one batch have the reference's bits.
void expect_reference(const AugmentationConfig& settings, bool augment) {
  Batches batches = make(settings, augment);
  const Batch batch = batches.get(0, kImages);
  AugmentationConfig expected = settings;
  if (!augment) expected.flip = false, expected.crop_padding = 0;
  for (int i = 0; i < kImages; ++i) {
    EXPECT_TRUE(torch::equal(batch.images[i], reference(expected, kImages - 1 - i)))
        << "image " << i;
  }
}

TEST(Batches, DividesBy255) {
  expect_reference(config(false, 0), true);
}

TEST(Batches, Normalises) {
  expect_reference(normalising(config(false, 0)), true);
}

TEST(Batches, CropsAndFlips) {
  for (const int64_t padding : {1, 4, 31, 40}) {
    expect_reference(normalising(config(true, padding)), true);
    expect_reference(config(false, padding), true);
  }
  expect_reference(config(true, 0), true);
}

TEST(Batches, OnlyNormalisesWhenNotAugmenting) {
  expect_reference(normalising(config(true, 4)), false);
}

TEST(Batches, AreFloatsInChannelsLastWithLabelsAndSamples) {
  Batches batches = make(config(false, 0), false);
  const Batch batch = batches.get(8, 7);
  EXPECT_EQ(batch.images.sizes(), (torch::IntArrayRef{7, 3, 32, 32}));
  EXPECT_EQ(batch.images.scalar_type(), torch::kFloat);
  EXPECT_TRUE(batch.images.is_contiguous(torch::MemoryFormat::ChannelsLast));
  const auto samples = torch::arange(kImages - 1 - 8, kImages - 1 - 15, -1);
  EXPECT_TRUE(torch::equal(batch.samples, samples.to(torch::kInt32)));
  EXPECT_TRUE(torch::equal(batch.labels, samples % kClasses));
  EXPECT_EQ(batch.labels.scalar_type(), torch::kInt64);
}

// What makes the number of ranks and shards irrelevant.
TEST(Batches, GiveAnImageTheSameBitsInEveryBatch) {
  Batches batches = make(config(true, 4), true);
  const auto all = batches.get(0, kImages).images.clone();
  for (int64_t i = 0; i < kImages; i += 3) {
    const int64_t count = std::min<int64_t>(3, kImages - i);
    EXPECT_TRUE(torch::equal(batches.get(i, count).images, all.narrow(0, i, count)));
  }
}

TEST(Batches, AugmentAnewEachEpochAndTheSameInTheSameEpoch) {
  Batches batches = make(config(true, 4), true);
  const auto third = batches.get(0, kImages).images.clone();
  batches.set_order(backwards(), kEpoch + 1);
  EXPECT_FALSE(torch::equal(batches.get(0, kImages).images, third));
  batches.set_order(backwards(), kEpoch);
  EXPECT_TRUE(torch::equal(batches.get(0, kImages).images, third));
}

TEST(Batches, FollowAShorterAndALongerOrder) {
  Batches batches = make(config(false, 0), false);
  batches.set_order({5, 3}, 0);
  EXPECT_TRUE(torch::equal(batches.get(0, 2).labels, torch::tensor({5, 3})));
  EXPECT_THROW(batches.get(1, 2), c10::Error);
  batches.set_order(std::vector<int32_t>(100, 7), 1);
  EXPECT_TRUE(torch::equal(batches.get(0, 100).labels, torch::full({100}, 7)));
}

TEST(Batches, KeepOneBufferUntilABatchIsLarger) {
  Batches batches = make(config(false, 0), false);
  const void* buffer = batches.get(0, 8).images.data_ptr();
  EXPECT_EQ(batches.get(8, 8).images.data_ptr(), buffer);
  EXPECT_EQ(batches.get(30, 3).images.data_ptr(), buffer);
  batches.get(0, 20);
  EXPECT_EQ(batches.get(0, 8).images.data_ptr(), batches.get(0, 20).images.data_ptr());
}

TEST(Batches, GiveAnEmptyShardEmptyTensors) {
  Batches batches = make(config(true, 4), true);
  for (const int64_t first : {0, kImages}) {
    const Batch batch = batches.get(first, 0);
    EXPECT_EQ(batch.images.sizes(), (torch::IntArrayRef{0, 3, 32, 32}));
    EXPECT_EQ(batch.labels.sizes(), (torch::IntArrayRef{0}));
    EXPECT_EQ(batch.samples.sizes(), (torch::IntArrayRef{0}));
  }
}

TEST(Batches, RefuseARangeOutsideOfTheOrder) {
  Batches batches = make(config(false, 0), false);
  EXPECT_THROW(batches.get(-1, 2), c10::Error);
  EXPECT_THROW(batches.get(0, kImages + 1), c10::Error);
  EXPECT_THROW(batches.get(0, -1), c10::Error);
}

TEST(Batches, HaveTheSameBitsOnTheGpu) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no GPU here";
  for (const int64_t padding : {0, 4, 40}) {
    Batches host = make(normalising(config(true, padding)), true);
    Batches device = make(normalising(config(true, padding)), true, torch::kCUDA);
    const Batch expected = host.get(3, 30), found = device.get(3, 30);
    EXPECT_TRUE(torch::equal(found.images.cpu(), expected.images));
    EXPECT_TRUE(torch::equal(found.labels.cpu(), expected.labels));
    EXPECT_TRUE(torch::equal(found.samples.cpu(), expected.samples));
    EXPECT_EQ(device.get(0, 0).images.sizes(), (torch::IntArrayRef{0, 3, 32, 32}));
  }
}

}  // namespace
}  // namespace cifar

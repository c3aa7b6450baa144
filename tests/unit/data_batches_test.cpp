// Batches against the same images stacked, cropped, flipped and normalised by torch's operators.
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "data/batches.h"
#include "refusal.h"

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
  if (flip) config.flip = "random";
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

AugmentationConfig with_everything(int64_t padding, const std::string& padding_mode) {
  AugmentationConfig all = normalising(config(false, padding));
  all.flip = "alternating";
  all.padding_mode = padding_mode;
  all.cutout = 9;
  all.brightness = 0.14;
  all.contrast = 0.13;
  return all;
}

// Image `sample` as torchvision would give it, from its draws.
torch::Tensor reference(const AugmentationConfig& config, int sample, const Transform& transform) {
  const ImageSet set = random_set();
  const auto image =
      torch::from_blob(const_cast<uint8_t*>(set.image(sample)), {3, 32, 32}, torch::kUInt8);
  const auto p = config.crop_padding;
  const auto padded =
      config.padding_mode == "reflect"
          ? torch::reflection_pad2d(image.to(torch::kFloat), {p, p, p, p}).to(torch::kUInt8)
          : torch::constant_pad_nd(image, {p, p, p, p});
  const Placement& placement = transform.placement;
  auto crop = padded.narrow(1, p + placement.dy, 32).narrow(2, p + placement.dx, 32);
  if (placement.mirrored) crop = crop.flip({2});
  const auto channels = [](const std::vector<double>& values) {
    return torch::tensor(values, torch::kFloat).view({3, 1, 1});
  };
  auto out = crop.to(torch::kFloat).div(255).sub(channels(config.mean)).div(channels(config.std));
  out = out.add(transform.jitter.shift).mul(transform.jitter.scale);
  const Square& cutout = transform.cutout;
  out.narrow(1, cutout.y, cutout.size).narrow(2, cutout.x, cutout.size).zero_();
  return out;
}

Transform drawn(const AugmentationConfig& config, int sample) {
  const Augmentation augmentation = {.flip = config.flip == "random"        ? Flip::kRandom
                                             : config.flip == "alternating" ? Flip::kAlternating
                                                                            : Flip::kNone,
                                     .padding = static_cast<int>(config.crop_padding),
                                     .cutout = static_cast<int>(config.cutout),
                                     .brightness = static_cast<float>(config.brightness),
                                     .contrast = static_cast<float>(config.contrast)};
  return transform_of(augmentation, 32, kSeed, kEpoch, sample);
}

// All images of the set in one batch have the reference's bits.
void expect_reference(const AugmentationConfig& settings, bool augment) {
  Batches batches = make(settings, augment);
  const Batch batch = batches.get(0, kImages);
  AugmentationConfig expected = config(false, 0);
  expected.mean = settings.mean, expected.std = settings.std;
  if (augment) expected = settings;
  for (int i = 0; i < kImages; ++i) {
    const int sample = kImages - 1 - i;
    EXPECT_TRUE(torch::equal(batch.images[i], reference(expected, sample, drawn(expected, sample))))
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

TEST(Batches, ReflectJitterAndCutOut) {
  for (const std::string mode : {"black", "reflect"}) {
    for (const int64_t padding : {0, 2, 31}) expect_reference(with_everything(padding, mode), true);
  }
  AugmentationConfig one = config(false, 0);
  one.brightness = 0.3;
  expect_reference(one, true);
  one = config(false, 0);
  one.contrast = 0.3;
  expect_reference(one, true);
  one = config(true, 2);
  one.padding_mode = "reflect";
  expect_reference(one, true);
  for (const int64_t cutout : {1, 12, 32}) {
    one = normalising(config(false, 0));
    one.cutout = cutout;
    expect_reference(one, true);
  }
}

TEST(Batches, OnlyNormaliseWhenNotAugmenting) {
  expect_reference(normalising(config(true, 4)), false);
  expect_reference(with_everything(4, "reflect"), false);
}

TEST(Batches, ShowTheNamedSamplesFromAView) {
  const AugmentationConfig settings = normalising(config(true, 4));
  Batches batches = make(settings, false);
  const auto samples = torch::tensor({7, 0, 39, 7}, torch::kInt32);
  AugmentationConfig expected = normalising(config(false, 2));
  expected.padding_mode = "reflect";
  for (const Placement& view : {Placement{}, {0, 0, true}, {-1, -1, false}, {2, -1, true}}) {
    const Batch batch = batches.get(samples, view);
    EXPECT_TRUE(torch::equal(batch.samples, samples));
    EXPECT_TRUE(torch::equal(batch.labels, samples % kClasses));
    for (int64_t i = 0; i < 4; ++i) {
      const auto image = reference(expected, samples[i].item<int>(), {.placement = view});
      EXPECT_TRUE(torch::equal(batch.images[i], image)) << "dx " << view.dx << ", image " << i;
    }
  }
  EXPECT_TRUE(torch::equal(batches.order(), torch::tensor(backwards(), torch::kInt32)));
}

TEST(Batches, RefuseToReflectMoreThanTheImage) {
  EXPECT_EQ(refusal(ExitCode::kUsage, [] { make(with_everything(32, "reflect"), true); }),
            "augmentation.crop_padding: 32 with padding_mode reflect; expected fewer than the "
            "image's 32 pixels");
  make(with_everything(32, "reflect"), false);
  make(with_everything(32, "black"), true);
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

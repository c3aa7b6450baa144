// The CUDA kernels against the CPU's loops, which the unit tests check against PyTorch.
#include <gmock/gmock.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/cuda_grid.h"
#include "gpu/gpu_test.h"
#include "model/dropout_mask.h"
#include "model/network.h"
#include "optim/optimizer.h"
#include "train/meter.h"
#include "unit/refusal.h"
#include "unit/small_run.h"

namespace cifar {
namespace {

constexpr int64_t kAllThreads = kMaxBlocks * kThreadsPerBlock;

class BatchesKernel : public GpuTest {
 protected:
  void expect_the_cpus_bits(const AugmentationConfig& config) const {
    const ImageSet set = random_images(64);
    Batches on_cpu(std::make_shared<ResidentSet>(set, torch::kCPU), config, true, 42);
    Batches on_gpu(std::make_shared<ResidentSet>(set, gpu_), config, true, 42);
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      on_cpu.set_order(backwards(64), epoch);
      on_gpu.set_order(backwards(64), epoch);
      for (const Range& range : {Range{0, 1}, Range{3, 7}, Range{0, 64}, Range{64, 0}}) {
        const Batch expected = on_cpu.get(range.first, range.count);
        const Batch found = on_gpu.get(range.first, range.count);
        EXPECT_TRUE(torch::equal(found.images.cpu(), expected.images));
        EXPECT_TRUE(torch::equal(found.labels.cpu(), expected.labels));
        EXPECT_TRUE(torch::equal(found.samples.cpu(), expected.samples));
      }
    }
  }
};

TEST_F(BatchesKernel, GivesTheCpusBits) {
  expect_the_cpus_bits({});
  expect_the_cpus_bits({.flip = "random"});
  expect_the_cpus_bits({.flip = "alternating"});
  expect_the_cpus_bits({.crop_padding = 4});
  expect_the_cpus_bits({.crop_padding = 31, .padding_mode = "reflect"});
  expect_the_cpus_bits({.cutout = 12});
  expect_the_cpus_bits({.brightness = 0.1399});
  expect_the_cpus_bits({.contrast = 0.1308});
  expect_the_cpus_bits({.flip = "random",
                        .crop_padding = 40,
                        .mean = {0.4914, 0.4822, 0.4465},
                        .std = {0.247, 0.2435, 0.2616}});
  expect_the_cpus_bits({.flip = "alternating",
                        .crop_padding = 2,
                        .padding_mode = "reflect",
                        .cutout = 12,
                        .brightness = 0.1399,
                        .contrast = 0.1308,
                        .mean = {0.4914, 0.4822, 0.4465},
                        .std = {0.247, 0.2435, 0.2616}});
}

TEST_F(BatchesKernel, ShowsTheCpusViews) {
  const ImageSet set = random_images(64);
  Batches on_cpu(std::make_shared<ResidentSet>(set, torch::kCPU), {}, false, 0);
  Batches on_gpu(std::make_shared<ResidentSet>(set, gpu_), {}, false, 0);
  const auto samples = torch::tensor({5, 63, 0, 5}, torch::kInt32);
  for (const Placement& view : {Placement{}, {0, 0, true}, {-1, -1, false}, {1, 1, true}}) {
    const Batch expected = on_cpu.get(samples, view), found = on_gpu.get(samples.to(gpu_), view);
    EXPECT_TRUE(torch::equal(found.images.cpu(), expected.images));
    EXPECT_TRUE(torch::equal(found.labels.cpu(), expected.labels));
  }
}

// One element, one block, and more elements than all threads together.
TEST_F(GpuTest, OptimizerKernelsDoWhatTheCpuDoes) {
  for (const std::string name : {"adam", "adamw", "sgd"}) {
    for (const int64_t size : {int64_t{1}, int64_t{33}, kAllThreads + 5}) {
      SCOPED_TRACE(name + " with " + std::to_string(size) + " parameters");
      OptimizerConfig config;
      config.name = name;
      config.weight_decay = 0.01;
      config.momentum = 0.9;
      config.nesterov = true;
      torch::manual_seed(1);
      const auto expected = torch::randn({size});
      const auto found = expected.to(gpu_);
      const auto on_cpu = make_optimizer(config, {expected});
      const auto on_gpu = make_optimizer(config, {found});
      for (int64_t step = 0; step < 5; ++step) {
        const auto gradients = torch::randn({size});
        on_cpu->step(expected, gradients, 0.01);
        on_gpu->step(found, gradients.to(gpu_), 0.01);
      }
      EXPECT_TRUE(torch::allclose(found.cpu(), expected, 1e-5, 1e-6));
      for (size_t i = 0; i < on_cpu->state().size(); ++i) {
        EXPECT_TRUE(torch::allclose(on_gpu->state()[i].second.cpu(), on_cpu->state()[i].second,
                                    1e-5, 1e-6));
      }
    }
  }
}

torch::Tensor to_device(StepValues now, torch::Device device) {
  return torch::from_blob(&now, {int64_t{sizeof(now)}}, torch::kUInt8).to(device);
}

// With more elements than all threads of its kernel together.
TEST_F(GpuTest, TheMeterAddsUpAndNamesTheFirstStepThatWasNotFinite) {
  Network network({"flatten", "linear 400"}, {3, 32, 32}, 400, 42);
  const FlatState flat(network, gpu_);
  ASSERT_GT(flat.reduced().numel(), kAllThreads);
  Meter meter(flat);
  const auto add = [&](int64_t step, int64_t samples) {
    const auto now = to_device({.step = step}, gpu_);
    meter.add(static_cast<const StepValues*>(now.const_data_ptr()), samples);
  };
  flat.gradients().fill_(0.5);
  flat.metrics().copy_(torch::tensor({2.0f, 10.0f, 0.0f, 1.0f}));
  add(1, 64);
  add(2, 8);
  Position position;
  const Wishes wishes = meter.read(position);
  EXPECT_FALSE(wishes.stop);
  EXPECT_TRUE(wishes.checkpoint);
  EXPECT_EQ(position.loss_sum, 2 * 72);
  EXPECT_EQ(position.correct, 20);
  for (const int64_t step : {5, 4, 6}) {  // the smallest counts, not the first to come
    flat.reduced()[step % 2 == 0 ? kAllThreads + 1 : flat.gradients().numel()] = NAN;
    add(step, 8);
  }
  EXPECT_THAT(refusal(ExitCode::kDiverged, [&] { meter.read(position); }),
              testing::HasSubstr("step 4: the loss or a gradient is not finite"));
}

TEST_F(GpuTest, DropoutMasksAreTheCpusBits) {
  const auto samples = torch::tensor({5, 17, 49999, 0}, torch::kInt32);
  for (const int64_t elements : {1, 10, 2048, 32 * 32 * 32}) {
    const auto expected = torch::empty({4, elements});
    const auto found = torch::empty({4, elements}, gpu_);
    const DropoutLayer layer{7, 0.3f};
    const StepValues now{.epoch = 3, .seed = uint64_t{42} << 32 | 7};
    const auto on_gpu = to_device(now, gpu_);
    fill_dropout_mask(layer, &now, samples, expected);
    fill_dropout_mask(layer, static_cast<const StepValues*>(on_gpu.const_data_ptr()),
                      samples.to(gpu_), found);
    EXPECT_TRUE(torch::equal(found.cpu(), expected)) << elements;
  }
}

}  // namespace
}  // namespace cifar

// Training steps and evaluation on a GPU: against plain autograd on the CPU, without the host
// waiting, and with the same bits after a resume.
#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "gpu/gpu_test.h"
#include "train/checkpoint.h"
#include "train/evaluation.h"
#include "train/loss.h"
#include "unit/small_run.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace cifar {
namespace {

const std::vector<std::string> kLayers = {"conv 16",      "relu",     "pool max 2",     "conv 32",
                                          "batch-norm",   "relu",     "pool average 2", "flatten",
                                          "dropout 0.25", "linear 10"};

class StepTest : public GpuTest {
 protected:
  static Config config(const std::string& precision = "fp32",
                       const std::vector<std::string>& layers = kLayers) {
    Config config = small_config(layers);
    config.train.precision = precision;
    config.train.label_smoothing = 0.1;
    return config;
  }

  // One step's gradients within `tolerance` of each tensor's largest element.
  void expect_gradients(const std::string& precision, double tolerance,
                        const std::vector<std::string>& layers = kLayers) const {
    const ImageSet set = random_images(64);
    const Config recipe = config(precision, layers);
    const ExpectedStep expected = expected_step(recipe, set, backwards(64), 64);
    TrainState state(recipe, gpu_);
    const auto comm = communicator("self");
    Precision(precision, gpu_).apply(/*deterministic=*/false);
    Stepper(recipe, set, backwards(64), state, *comm, gpu_).run({0, 64});
    for (const FlatEntry& entry : state.flat.parameter_entries()) {
      // A bias before batch-norm has no gradient but what rounding leaves.
      if (layers == kLayers && entry.name == "3.bias") continue;
      expect_near(view_like(state.flat.gradients(), entry), expected.gradients.at(entry.name),
                  tolerance, entry.name);
    }
    EXPECT_NEAR(state.flat.metrics()[0].item<double>(), expected.loss, tolerance * expected.loss);
  }
};

TEST_F(StepTest, Fp32IsTheCpusGradient) {
  expect_gradients("fp32", 5e-4);
}

TEST_F(StepTest, Fp32IsTheCpusGradientOfTheRecordLayers) {
  expect_gradients("fp32", 5e-4, kRecordLayers);
}

TEST_F(StepTest, Tf32ComesClose) {
  expect_gradients("tf32", 2e-2);
}

TEST_F(StepTest, Bf16ComesClose) {
  expect_gradients("bf16", 1e-1);
}

TEST_F(GpuTest, TheLossIsTheCpus) {
  torch::manual_seed(1);
  const auto logits = torch::randn({37, 10}).mul_(3);
  const auto labels = torch::randint(10, {37}, torch::kInt64);
  for (const double smoothing : {0.0, 0.2}) {
    for (const double gradient_scale : {1.0 / 64, 1.0}) {
      const CrossEntropy terms = {1.0 / 64, gradient_scale, smoothing};
      const auto on_cpu = torch::zeros({4}), on_gpu = torch::zeros({4}, gpu_);
      const auto expected = cross_entropy(logits, labels, terms, on_cpu);
      const auto found = cross_entropy(logits.to(gpu_), labels.to(gpu_), terms, on_gpu);
      EXPECT_TRUE(torch::allclose(found.cpu(), expected, 1e-5, 1e-8));
      EXPECT_TRUE(torch::allclose(on_gpu.cpu(), on_cpu, 1e-6, 0));
    }
  }
}

TEST_F(StepTest, Fp16ComesClose) {
  expect_gradients("fp16", 2e-2);
}

TEST_F(StepTest, ManyShardsAreTheWholeBatch) {
  const ImageSet set = random_images(16);
  Config recipe = small_config({"conv 8", "relu", "pool max 2", "flatten", "linear 10"});
  const ExpectedStep expected = expected_step(recipe, set, backwards(16), 16);
  const auto comm = communicator("self");
  for (const int64_t shards : {1, 3, 20}) {
    recipe.train.shards = shards;
    TrainState state(recipe, gpu_);
    Stepper(recipe, set, backwards(16), state, *comm, gpu_).run({0, 16});
    expect_step(state.flat, expected, 5e-4);
  }
}

TEST_F(StepTest, NcclWithOneRankChangesNoBit) {
  const ImageSet set = random_images(64);
  std::vector<std::string> hashes;
  for (const std::string kind : {"self", "nccl"}) {
    const auto comm = communicator(kind);
    TrainState state(config(), gpu_);
    broadcast(state, *comm);
    Stepper stepper(config(), set, backwards(64), state, *comm, gpu_);
    for (int64_t step = 0; step < 4; ++step) stepper.run({16 * step, 16});
    comm->barrier();
    hashes.push_back(state.flat.hash());
  }
  EXPECT_EQ(hashes[1], hashes[0]);
}

TEST_F(StepTest, NcclTakesEveryTypeOfTheContract) {
  const auto comm = communicator("nccl");
  for (const auto type : {torch::kFloat32, torch::kFloat64, torch::kInt64, torch::kUInt8}) {
    const auto tensor = torch::arange(100, torch::TensorOptions(type).device(gpu_));
    const auto expected = tensor.clone();
    comm->all_reduce_sum(tensor);
    comm->broadcast(tensor, 0);
    EXPECT_TRUE(torch::equal(tensor, expected)) << c10::toString(type);
  }
}

#if CIFAR_HAS_CUDA
// While it lives, LibTorch throws where the host would wait for the device.
class NoHostWait {
 public:
  NoHostWait() {
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
  }
  ~NoHostWait() {
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  }
};

TEST_F(StepTest, AStepNeitherWaitsNorAllocates) {
  const ImageSet set = random_images(160);
  for (const auto& [kind, precision, layers, graphs] :
       std::vector<std::tuple<std::string, std::string, std::vector<std::string>, bool>>{
           {"self", "fp32", kLayers, false},
           {"self", "bf16", kLayers, true},
           {"nccl", "fp32", kLayers, true},
           {"nccl", "fp16", kLayers, false},
           {"self", "fp32", kRecordLayers, false},
           {"nccl", "bf16", kRecordLayers, true}}) {
    SCOPED_TRACE(testing::Message() << kind << " " << precision << " " << layers.front());
    const auto comm = communicator(kind);
    TrainState state(config(precision, layers), gpu_);
    Stepper stepper(config(precision, layers), set, backwards(160), state, *comm, gpu_, graphs);
    int64_t steps = 0;
    const auto step = [&] { stepper.run({16 * (steps++ % 10), 16}); };
    for (int i = 0; i < 5; ++i) step();  // warm-up
    torch::cuda::synchronize();
    const auto allocations = [&] {
      return c10::cuda::CUDACachingAllocator::getDeviceStats(gpu_.index()).num_device_alloc;
    };
    const int64_t before = allocations();
    {
      const NoHostWait no_wait;
      for (int i = 0; i < 10; ++i) step();
    }
    EXPECT_EQ(allocations(), before);
    Position position;
    stepper.meter.read(position);
    EXPECT_GT(position.loss_sum, 0);
  }
}
#endif

// Whole and short batches, dropout, a flip in each epoch anew, two optimizers, both reductions.
TEST_F(StepTest, AGraphGivesTheBitsOfNoGraph) {
  const ImageSet set = random_images(100);
  std::vector<std::string> layers = kLayers;  // with a tensor larger than a bucket
  layers.insert(layers.end() - 1, {"linear 64", "relu"});
  Config recipe = config("fp32", layers);
  recipe.augmentation.flip = "alternating";
  recipe.augmentation.crop_padding = 2;
  recipe.optimizers = {recipe.optimizer, recipe.optimizer};
  recipe.optimizers[0].name = "muon";
  recipe.optimizers[0].parameters = {"conv.weight", "linear.weight"};
  recipe.optimizers[0].normalise_every = 2;
  recipe.optimizers[1].parameters = {"*.bias", "batch-norm.weight"};
  for (const std::string reduction : {"ordered", "overlapped"}) {
    for (const std::string precision : {"fp32", "bf16", "fp16"}) {
      for (const std::string kind : {"self", "nccl"}) {
        SCOPED_TRACE(reduction + " " + precision + " " + kind);
        recipe.train.reduction = reduction;
        recipe.train.precision = precision;
        const auto comm = communicator(kind);
        std::vector<std::string> hashes;
        std::vector<double> losses;
        for (const bool graphs : {false, true}) {
          TrainState state(recipe, gpu_);
          Stepper stepper(recipe, set, backwards(100), state, *comm, gpu_, graphs);
          double rate = 0.01;
          for (stepper.epoch = 0; stepper.epoch < 6; ++stepper.epoch) {
            for (int64_t first = 0; first < 100; first += 16, rate *= 0.97) {
              const bool last = stepper.epoch == 5 && first == 80;
              stepper.run({first, std::min<int64_t>(16, 100 - first)}, {rate, rate / 10}, last);
            }
          }
          Position position;
          EXPECT_TRUE(stepper.meter.read(position).stop);
          losses.push_back(position.loss_sum);
          hashes.push_back(state.flat.hash());
        }
        EXPECT_EQ(hashes[1], hashes[0]);
        EXPECT_EQ(losses[1], losses[0]);
      }
    }
  }
}

TEST_F(StepTest, AResumeGivesTheBitsOfTheUninterruptedRun) {
  const ImageSet set = random_images(96);
  const auto comm = communicator("self");
  const auto run = [&](TrainState& state, int64_t first, int64_t last) {
    Stepper stepper(config(), set, backwards(96), state, *comm, gpu_);
    for (int64_t step = first; step < last; ++step) stepper.run({16 * step, 16});
  };
  TrainState whole(config(), gpu_), half(config(), gpu_), resumed(config(), gpu_);
  run(whole, 0, 6);
  run(half, 0, 3);
  const std::string bytes = serialize(take_checkpoint(half, ""));
  restore(deserialize(bytes, "file"), "file", resumed);
  EXPECT_EQ(resumed.flat.hash(), half.flat.hash());
  run(resumed, 3, 6);
  EXPECT_EQ(resumed.flat.hash(), whole.flat.hash());
}

// Six times two blocks of one size and one of another, so that both are captured and replayed; the
// weights change in between.
TEST_F(StepTest, EvaluationAsAGraphIsTheSameBits) {
  const ImageSet set = random_images(2300);
  const auto network = make_network(config());
  network->to(gpu_);
  const auto comm = communicator("self");
  const auto losses = [&](bool graphs, const TestTimeAugmentation& tta) {
    torch::NoGradGuard no_grad;
    Batches batches(std::make_shared<ResidentSet>(set, gpu_), {}, false, 0);
    batches.set_order(backwards(2300), 0);
    Predictor predictor(*network, batches, 2300, "sharded", Precision("fp32", gpu_), *comm, tta,
                        graphs);
    std::vector<double> found;
    for (int time = 0; time < 6; ++time) {
      for (const Prediction& prediction : predictor.predict()) found.push_back(prediction.loss);
      for (const auto& parameter : network->parameters()) parameter.neg_();
    }
    return found;
  };
  TestTimeAugmentation shift;
  shift.views = "shift";
  shift.uncertain = 0.7;
  for (const TestTimeAugmentation& tta : {TestTimeAugmentation(), shift}) {
    const auto expected = losses(false, tta);
    EXPECT_EQ(losses(true, tta), expected);
    EXPECT_NE(expected[0], expected[2300]);
  }
}

TEST_F(StepTest, EvaluationIsTheCpus) {
  const ImageSet set = random_images(777);
  const auto network = make_network(config());
  const auto result = [&](torch::Device device) {
    Batches batches(std::make_shared<ResidentSet>(set, device), {}, false, 0);
    batches.set_order(backwards(777), 0);
    network->to(device);
    const auto comm = communicator("self");
    return summary_of(
        Predictor(*network, batches, 777, "sharded", Precision("fp32", device), *comm).predict());
  };
  const EvaluationResult expected = result(torch::kCPU), found = result(gpu_);
  EXPECT_EQ(found.samples, 777);
  EXPECT_NEAR(found.loss, expected.loss, 1e-5 * expected.loss);
  EXPECT_NEAR(found.correct, expected.correct, 1);  // two equal logits may change places
}

}  // namespace
}  // namespace cifar

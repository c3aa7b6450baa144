// The training step over MPI against one whole-batch backward by plain autograd, and the broadcast
// of the state.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "mpi/mpi_test.h"
#include "unit/small_run.h"

namespace cifar {
namespace {

using TrainTest = MpiTest;
using testing::Each;

const std::vector<std::string> kLayers = {
    "conv 6",    "relu",           "pool max 2", "conv 8 stride 2",
    "relu",      "pool average 2", "flatten",    "dropout 0.25",
    "linear 12", "relu",           "linear 10"};

TEST_P(TrainTest, AStepsGradientIsTheWholeBatchs) {
  const ImageSet set = random_images(16);
  const auto order = backwards(16);
  const auto comm = communicator();
  Config config = small_config(kLayers);
  for (const int64_t samples : {1, 2, 7, 16}) {
    const ExpectedStep expected = expected_step(config, set, order, samples);
    for (const int64_t shards : {1, 5}) {
      SCOPED_TRACE(testing::Message() << samples << " samples, " << shards << " shards");
      config.train.shards = shards;
      config.train.reduction = shards < size() ? "overlapped" : "ordered";
      TrainState state(config, device());
      Stepper(config, set, order, state, *comm, device()).run({0, samples});
      expect_step(state.flat, expected, GetParam() == torch::kCPU ? 1e-5 : 5e-4);
    }
  }
}

TEST_P(TrainTest, RanksKeepTheSameBits) {
  const ImageSet set = random_images(40);
  const Config config =
      small_config({"conv 4 stride 2", "batch-norm", "relu", "pool max 4", "flatten", "linear 10"});
  const auto comm = communicator();
  TrainState state(config, device());
  Stepper stepper(config, set, backwards(40), state, *comm, device());
  for (int64_t step = 0; step < 3; ++step) stepper.run({16 * step, step < 2 ? 16 : 8});
  const auto hashes = world->gather(state.flat.hash());
  EXPECT_THAT(hashes, Each(hashes[0]));
}

TEST_P(TrainTest, BroadcastGivesAllRanksTheRootsState) {
  const auto comm = communicator();
  for (int root = 0; root < size(); ++root) {
    Config config = small_config({"conv 4", "batch-norm", "pool max all", "flatten", "linear 10"});
    config.train.seed = rank();
    TrainState state(config, device());
    state.groups.front().optimizer->state()[0].second.fill_(rank());
    state.set_updates(100 + rank());
    state.position = {rank(), 1 + rank(), 2 + rank(), 3 + rank(), 0.5 + rank(), 4.0 + rank()};
    const std::string before = world->gather(state.flat.hash())[root];

    broadcast(state, *comm, root);
    EXPECT_THAT(world->gather(state.flat.hash()), Each(before));
    const auto moment = state.groups.front().optimizer->state()[0].second;
    EXPECT_TRUE(torch::equal(moment, torch::full_like(moment, root)));
    EXPECT_EQ(state.updates(), 100 + root);
    EXPECT_EQ(state.position.epoch, root);
    EXPECT_EQ(state.position.step_in_epoch, 1 + root);
    EXPECT_EQ(state.position.step, 2 + root);
    EXPECT_EQ(state.position.samples, 3 + root);
    EXPECT_EQ(state.position.loss_sum, 0.5 + root);
    EXPECT_EQ(state.position.correct, 4.0 + root);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, TrainTest, testing::Values(torch::kCPU, torch::kCUDA),
                         device_name);

}  // namespace
}  // namespace cifar

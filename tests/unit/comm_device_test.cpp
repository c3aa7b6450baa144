// The rules of device choice, for machines of any number of GPUs; none is needed here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/device_rules.h"
#include "refusal.h"

namespace cifar {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Seat seat(int local_rank, int local_size) {
  return {"node1", local_rank, local_size};
}

TEST(GpuIndex, EachLocalRankTakesItsOwn) {
  for (int gpus = 2; gpus <= 8; ++gpus) {
    for (int ranks = 1; ranks <= gpus; ++ranks) {
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_EQ(gpu_index(seat(rank, ranks), gpus, false), rank);
      }
    }
  }
}

TEST(GpuIndex, OneVisibleDeviceIsTheOneThatTheBatchSystemGave) {
  for (int rank = 0; rank < 4; ++rank) EXPECT_EQ(gpu_index(seat(rank, 4), 1, false), 0);
}

TEST(GpuIndex, SharingDealsRanksOutInTurn) {
  for (int gpus = 1; gpus <= 3; ++gpus) {
    for (int rank = 0; rank < 7; ++rank) {
      EXPECT_EQ(gpu_index(seat(rank, 7), gpus, true), rank % gpus);
    }
  }
}

TEST(GpuIndex, MoreLocalRanksThanGpusAreRefusedOnEveryRank) {
  for (int rank = 0; rank < 3; ++rank) {
    const std::string message =
        refusal(ExitCode::kUsage, [&] { gpu_index(seat(rank, 3), 2, false); });
    EXPECT_THAT(message, HasSubstr("3 ranks on node1 with 2 GPUs"));
    EXPECT_THAT(message, AllOf(HasSubstr("--gpus-per-node"), HasSubstr("--gres=gpu:N"),
                               HasSubstr("--comm mpi to share")));
  }
}

// What --gres=gpu:1 with two tasks a node gives: each rank sees that one GPU and takes it.
TEST(RefuseDuplicates, FindsTwoRanksThatWereGivenOneGpu) {
  std::vector<RankGpu> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ASSERT_EQ(gpu_index(seat(rank, 2), 1, false), 0);
    ranks.push_back({"node1", "a"});
  }
  EXPECT_THAT(refusal(ExitCode::kUsage, [&] { refuse_duplicates(ranks); }),
              HasSubstr("ranks 0 and 1 have the same GPU of node1"));
}

TEST(RefuseDuplicates, NamesTheRanksAndTheHost) {
  refuse_duplicates({{"node1", "a"}});
  refuse_duplicates({{"node1", "a"}, {"node1", "b"}, {"node2", "c"}});
  // The same card cannot be in two hosts; virtual ones may have equal UUIDs.
  refuse_duplicates({{"node1", "a"}, {"node2", "a"}});
  const std::string message = refusal(ExitCode::kUsage, [] {
    refuse_duplicates({{"node1", "a"}, {"node2", "b"}, {"node2", "b"}});
  });
  EXPECT_THAT(message, HasSubstr("ranks 1 and 2 have the same GPU of node2"));
  EXPECT_THAT(message, AllOf(HasSubstr("--gpus-per-task=1"), HasSubstr("--gpus-per-node"),
                             HasSubstr("--gres=gpu:N")));
}

TEST(RefuseMixture, AllOrNoneHaveGpus) {
  refuse_mixture({{"node1", "a"}, {"node2", "b"}});
  refuse_mixture({{"node1", ""}, {"node2", ""}});
  EXPECT_THAT(refusal(ExitCode::kUsage,
                      [] {
                        refuse_mixture({{"node1", "a"}, {"node1", "b"}, {"node2", ""}});
                      }),
              HasSubstr("a GPU on node1, no GPU on node2"));
  EXPECT_THAT(refusal(ExitCode::kUsage,
                      [] {
                        refuse_mixture({{"node1", ""}, {"node2", "a"}});
                      }),
              HasSubstr("no GPU on node1, a GPU on node2"));
}

TEST(CommunicatorFor, AutoTakesTheFastestThatFits) {
  EXPECT_EQ(communicator_for("auto", false, 1), "self");
  EXPECT_EQ(communicator_for("auto", true, 1), "self");
  EXPECT_EQ(communicator_for("auto", false, 2), "mpi");
  EXPECT_EQ(communicator_for("auto", true, 2), "nccl");
}

TEST(CommunicatorFor, ANameIsKeptUnlessItCannotWork) {
  for (const std::string name : {"self", "mpi"}) {
    EXPECT_EQ(communicator_for(name, false, 2), name);
    EXPECT_EQ(communicator_for(name, true, 2), name);
  }
  EXPECT_EQ(communicator_for("nccl", true, 1), "nccl");
  EXPECT_THAT(refusal(ExitCode::kUsage, [] { communicator_for("nccl", false, 2); }),
              HasSubstr("--comm nccl: no GPU; expected --comm mpi"));
}

TEST(RefuseMissingGpu, SaysWhy) {
  EXPECT_THAT(refusal(ExitCode::kUsage, [] { refuse_missing_gpu(false, nullptr); }),
              HasSubstr("a CPU-only build"));
  EXPECT_THAT(refusal(ExitCode::kUsage, [] { refuse_missing_gpu(true, ""); }),
              AllOf(HasSubstr("CUDA_VISIBLE_DEVICES is empty"), HasSubstr("--gpus-per-node"),
                    HasSubstr("--gpus-per-task"), HasSubstr("--gres=gpu:N")));
  EXPECT_THAT(refusal(ExitCode::kUsage, [] { refuse_missing_gpu(true, nullptr); }),
              HasSubstr("no GPU is visible"));
  EXPECT_THAT(refusal(ExitCode::kUsage, [] { refuse_missing_gpu(true, "7"); }),
              HasSubstr("no GPU is visible"));
}

}  // namespace
}  // namespace cifar

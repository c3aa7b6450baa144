// The communicator's contract, on real ranks, against closed forms.
#include <gmock/gmock.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/hash.h"
#include "mpi/mpi_test.h"
#include "unit/refusal.h"
#include "unit/temp_folder.h"

namespace cifar {
namespace {

using CommunicatorTest = MpiTest;
using WorldTest = MpiTest;  // what no device matters to
using testing::HasSubstr;

const int64_t kSizes[] = {0, 1, 7, 1000, 113'738, 1 << 20};
const torch::ScalarType kTypes[] = {torch::kFloat32,  torch::kFloat64, torch::kHalf,
                                    torch::kBFloat16, torch::kInt64,   torch::kUInt8};

// 0 1 2 3 4 0 1 2 ...
torch::Tensor pattern(int64_t size, torch::TensorOptions options) {
  return (torch::arange(size, torch::kInt64) % 5).to(options);
}

// Rank r gives r + pattern: the sum is P (P - 1) / 2 + P pattern, exact in every type.
TEST_P(CommunicatorTest, AllReduceSumsOverRanks) {
  const auto comm = communicator();
  for (const auto type : kTypes) {
    for (const int64_t size_now : kSizes) {
      SCOPED_TRACE(testing::Message() << size_now << " of " << c10::toString(type));
      const auto options = torch::TensorOptions(type).device(device());
      const auto tensor = pattern(size_now, options) + rank();
      comm->all_reduce_sum(tensor);
      const auto expected = pattern(size_now, options) * size() + size() * (size() - 1) / 2;
      EXPECT_TRUE(torch::equal(tensor, expected));
    }
  }
}

TEST_P(CommunicatorTest, SeveralSumsMayBeUnderWayAtOnce) {
  const auto comm = communicator();
  std::vector<torch::Tensor> tensors;
  for (int k = 0; k < 20; ++k) {
    tensors.push_back(torch::full({kSizes[k % 5]}, k + rank() + 1.0, device()));
    comm->start_all_reduce_sum(tensors.back());
  }
  comm->finish();
  for (int k = 0; k < 20; ++k) {
    const double expected = size() * (k + 1.0) + size() * (size() - 1) / 2;
    EXPECT_TRUE(torch::equal(tensors[k], torch::full_like(tensors[k], expected))) << k;
  }
  comm->finish();  // nothing left to wait for
}

TEST_P(CommunicatorTest, SumsASliceAndLeavesTheRest) {
  const auto whole = torch::ones({100}, device());
  communicator()->all_reduce_sum(whole.narrow(0, 30, 20));
  const auto expected = torch::ones({100}, device());
  expected.narrow(0, 30, 20).fill_(size());
  EXPECT_TRUE(torch::equal(whole, expected));
}

// Sums that rounding makes depend on their order; all ranks must hold the same all the same.
TEST_P(CommunicatorTest, AllRanksEndWithTheSameBits) {
  const auto comm = communicator();
  torch::manual_seed(rank());
  for (const auto type : {torch::kFloat32, torch::kHalf, torch::kBFloat16}) {
    for (const int64_t size_now : kSizes) {
      const auto tensor = torch::randn({size_now}).to(device(), type);
      comm->all_reduce_sum(tensor);
      const auto host = tensor.cpu();
      const auto* bytes = static_cast<const char*>(host.const_data_ptr());
      const auto hashes = world->gather(hash_of({bytes, host.nbytes()}));
      EXPECT_THAT(hashes, testing::Each(hashes[0]));
    }
  }
}

TEST_P(CommunicatorTest, BroadcastBringsTheRootsTensor) {
  const auto comm = communicator();
  for (int root = 0; root < size(); ++root) {
    for (const auto type : kTypes) {
      for (const int64_t size_now : kSizes) {
        const auto options = torch::TensorOptions(type).device(device());
        const auto tensor = pattern(size_now, options) + 10 * rank();
        comm->broadcast(tensor, root);
        EXPECT_TRUE(torch::equal(tensor, pattern(size_now, options) + 10 * root));
      }
    }
  }
}

// What `from` sends to `to` as message `index`: as many tensors, and as long ones, as these three
// numbers say, so that some lists and some tensors are empty.
torch::Tensor letter(int from, int to, int index, torch::TensorOptions options) {
  return pattern(kSizes[(from + 2 * to + index) % 5], options) + (16 * from + 4 * to + index);
}

int letters(int from, int to) {
  return from == to ? 0 : (from + 2 * to) % 4;
}

TEST_P(CommunicatorTest, ExchangeBringsEachMessageToItsPeerInOrder) {
  const auto comm = communicator();
  for (const auto type : kTypes) {
    const auto options = torch::TensorOptions(type).device(device());
    std::vector<cifar::Message> sends, receives;
    std::vector<torch::Tensor> expected;
    for (int index = 0; index < 4; ++index) {
      for (int peer = 0; peer < size(); ++peer) {
        if (index < letters(rank(), peer)) {
          sends.push_back({letter(rank(), peer, index, options), peer});
        }
        if (index < letters(peer, rank())) {
          expected.push_back(letter(peer, rank(), index, options));
          receives.push_back({torch::zeros_like(expected.back()), peer});
        }
      }
    }
    comm->exchange(sends, receives);
    for (size_t k = 0; k < expected.size(); ++k) {
      EXPECT_TRUE(torch::equal(receives[k].tensor, expected[k])) << c10::toString(type) << k;
    }
  }
  comm->exchange({}, {});
}

// To the next rank and from the one before, while sums are under way; long enough that no rank can
// send before the other receives.
TEST_P(CommunicatorTest, ExchangesBesideSums) {
  if (size() == 1) GTEST_SKIP() << "one rank has no peer";
  const auto comm = communicator();
  const int next = (rank() + 1) % size(), before = (rank() + size() - 1) % size();
  const auto sum = torch::full({1000}, rank() + 1.0, device());
  comm->start_all_reduce_sum(sum);
  const auto received = torch::zeros({1 << 20}, device());
  comm->exchange({{torch::full({1 << 20}, 1.0 * rank(), device()), next}}, {{received, before}});
  EXPECT_TRUE(torch::equal(received, torch::full_like(received, before)));
  comm->finish();
  EXPECT_TRUE(torch::equal(sum, torch::full_like(sum, size() * (size() + 1) / 2)));
}

TEST_P(WorldTest, RefusesTypesThatItDoesNotSum) {
  const auto comm = communicator();
  EXPECT_THAT(
      refusal(ExitCode::kUsage, [&] { comm->all_reduce_sum(torch::ones({3}, torch::kInt32)); }),
      HasSubstr("Int; expected float32"));
  EXPECT_ANY_THROW(comm->all_reduce_sum(torch::ones({3, 4}).t()));
  comm->finish();
}

// Nobody leaves the barrier before the last, who leaves a file behind, has come.
TEST_P(WorldTest, BarrierWaitsForAll) {
  const TempFolder mine;
  const std::string folder = world->gather(mine.path())[0];
  const auto comm = communicator();
  for (int last = 0; last < size(); ++last) {
    const std::string file = folder + "/" + std::to_string(last);
    if (rank() == last) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      write_file(file, "", ExitCode::kData);
    }
    comm->barrier();
    EXPECT_TRUE(std::filesystem::exists(file)) << last;
  }
  comm->barrier();  // rank 0 removes the folder
}

TEST_P(WorldTest, GatherBringsTheTextsByRank) {
  const auto texts = world->gather("rank " + std::to_string(rank()));
  ASSERT_EQ(texts.size(), static_cast<size_t>(size()));
  for (int other = 0; other < size(); ++other) {
    EXPECT_EQ(texts[other], "rank " + std::to_string(other));
  }
  EXPECT_EQ(world->gather(std::string(300, 'x'))[0], std::string(255, 'x'));
  EXPECT_EQ(world->gather("")[0], "");
}

TEST_P(WorldTest, ThisMachineIsOneHost) {
  EXPECT_EQ(world->local_size(), size());
  EXPECT_EQ(world->local_rank(), rank());
  EXPECT_GE(world->cores(), 1);
  EXPECT_THAT(world->gather(world->host()), testing::Each(world->host()));
}

INSTANTIATE_TEST_SUITE_P(Devices, CommunicatorTest, testing::Values(torch::kCPU, torch::kCUDA),
                         device_name);
INSTANTIATE_TEST_SUITE_P(Devices, WorldTest, testing::Values(torch::kCPU), device_name);

}  // namespace
}  // namespace cifar

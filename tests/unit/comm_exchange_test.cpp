// exchange() between ranks that are threads, as the tests of data-parallel logic use it, and of one
// rank alone; on real ranks: tests/mpi/communicator_test.cpp.
#include <gtest/gtest.h>

#include "unit/refusal.h"
#include "unit/thread_communicator.h"

namespace cifar {
namespace {

torch::Tensor number(double value) {
  return torch::full({1}, value);
}

TEST(Exchange, MessagesOfOnePairMeetInOrder) {
  run_ranks(3, [](Communicator& comm) {
    const int next = (comm.rank() + 1) % 3, before = (comm.rank() + 2) % 3;
    std::vector<torch::Tensor> received;
    for (int k = 0; k < 4; ++k) received.push_back(number(0));
    // Two to the next, one to the one before, interleaved; received in another interleaving.
    comm.exchange({{number(10 * comm.rank() + 1), next},
                   {number(10 * comm.rank() + 3), before},
                   {number(10 * comm.rank() + 2), next}},
                  {{received[0], before}, {received[1], before}, {received[2], next}});
    EXPECT_EQ(received[0].item<double>(), 10 * before + 1);
    EXPECT_EQ(received[1].item<double>(), 10 * before + 2);
    EXPECT_EQ(received[2].item<double>(), 10 * next + 3);
    EXPECT_EQ(received[3].item<double>(), 0);
  });
}

TEST(Exchange, AnyRankMayHaveNothingToSayOrHear) {
  run_ranks(4, [](Communicator& comm) {
    comm.exchange({}, {});
    std::vector<Message> sends, receives;
    const torch::Tensor got = torch::zeros({5}, torch::kInt64);
    if (comm.rank() == 2) sends.push_back({torch::arange(5), 0});
    if (comm.rank() == 0) receives.push_back({got, 2});
    comm.exchange(sends, receives);
    EXPECT_TRUE(comm.rank() != 0 || torch::equal(got, torch::arange(5)));
  });
}

TEST(Exchange, AMessageThatNobodySendsIsAnError) {
  const auto call = [] {
    run_ranks(2, [](Communicator& comm) {
      if (comm.rank() == 0) return comm.exchange({}, {});
      comm.exchange({}, {{number(0), 0}});
    });
  };
  EXPECT_THROW(call(), Error);
}

TEST(Exchange, OneRankHasNoPeer) {
  int argc = 0;
  char** argv = nullptr;
  const World world(&argc, &argv);
  const auto comm = make_communicator("self", world, 1);
  comm->exchange({}, {});
  EXPECT_ANY_THROW(comm->exchange({{number(1), 0}}, {}));
}

}  // namespace
}  // namespace cifar

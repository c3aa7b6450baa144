// mpirun -np N mpi_tests: rank 0 tells how it went, the others only what fails on them. The exit
// code is that of all ranks.
#include <ATen/Parallel.h>

#include <cstdio>
#include <iostream>

#include "mpi/mpi_test.h"

namespace cifar {

const World* MpiTest::world = nullptr;

namespace {

class FailuresOnly : public testing::EmptyTestEventListener {
 public:
  explicit FailuresOnly(int rank) : rank_(rank) {}

  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::cerr << "rank " << rank_ << ": " << result.file_name() << ":" << result.line_number()
              << ": " << result.message() << std::endl;
  }

 private:
  int rank_;
};

int run_tests(const World& world) {
  MpiTest::world = &world;
  at::set_num_threads(1);
  if (world.rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new FailuresOnly(world.rank()));
  }
  const int code = RUN_ALL_TESTS();
  auto codes = torch::full({1}, code, torch::kInt64);
  make_communicator("mpi", world, kPatience)->all_reduce_sum(codes);
  return codes.item<int64_t>() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cifar

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const cifar::World world(&argc, &argv);
  if (world.mpi() == nullptr) {
    std::fputs("mpi_tests: start it under mpirun\n", stderr);
    return 2;
  }
  try {
    return cifar::run_tests(world);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", world.rank(), error.what());
    world.abort(1);
  }
}

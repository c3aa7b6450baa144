// The sums of the gradients over shards and ranks, on the CPU. Alone it measures what the reducer
// costs one rank, which has nothing to send; under mpirun it measures MPI:
//
//   mpirun -np 2 build/micro_bench --benchmark_filter=reduce
//
// Iterations are fixed, because all ranks must make the same calls.
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <memory>

#include "bench/article_state.h"
#include "comm/communicator.h"
#include "parallel/reducer.h"
#include "parallel/shards.h"

namespace {

constexpr int64_t kIterations = 2000, kBytesIterations = 400;
constexpr double kTimeout = 60;

// Lives as long as the program: MPI starts once in a process.
cifar::Communicator& communicator() {
  static const cifar::World world(nullptr, nullptr);
  static const auto comm =
      cifar::make_communicator(world.size() > 1 ? "mpi" : "self", world, kTimeout);
  return *comm;
}

// A step's reduction of the article's 113,738 gradients, with no backward pass to hide behind.
void reduce_article(benchmark::State& state, const std::string& reduction, int64_t shards) {
  cifar::Communicator& comm = communicator();
  const auto train_state = cifar::article_state();
  if (reduction == "ordered" && shards < comm.size()) return state.SkipWithError("too few shards");
  cifar::TrainConfig config;
  config.reduction = reduction;
  config.shards = shards;
  const auto reducer = cifar::make_reducer(config, comm, train_state.flat);
  const cifar::Range mine = cifar::part_of(shards, comm.size(), comm.rank());
  for (auto _ : state) {
    reducer->begin();
    for (int64_t shard = mine.first; shard < mine.end(); ++shard) {
      reducer->before_backward(shard + 1 == mine.end());
      reducer->after_shard(shard);
    }
    reducer->finish();
  }
  state.counters["ranks"] = comm.size();
}
BENCHMARK_CAPTURE(reduce_article, overlapped_2, "overlapped", 2)
    ->Iterations(kIterations)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(reduce_article, ordered_2, "ordered", 2)
    ->Iterations(kIterations)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(reduce_article, ordered_8, "ordered", 8)
    ->Iterations(kIterations)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

// One all-reduce of so many bytes.
void reduce_bytes(benchmark::State& state) {
  cifar::Communicator& comm = communicator();
  const auto tensor = torch::zeros({state.range(0) / 4});
  for (auto _ : state) comm.all_reduce_sum(tensor);
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.counters["ranks"] = comm.size();
}
BENCHMARK(reduce_bytes)
    ->RangeMultiplier(16)
    ->Range(1 << 10, 4 << 20)
    ->Iterations(kBytesIterations)
    ->Unit(benchmark::kMicrosecond)
    ->UseRealTime();

}  // namespace

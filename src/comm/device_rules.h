// The rules of device choice, as pure functions of what the ranks see; device.cpp asks the machine.
// Each of them throws Error(kUsage) that says what to change.
#pragma once

#include <string>
#include <vector>

namespace cifar {

// Where a rank sits: its host, and its place among the ranks of that host.
struct Seat {
  std::string host;
  int local_rank;
  int local_size;
};

// The index, among the `gpus` (at least 1) that this rank sees, of its own. A rank that sees one
// takes that; when GPUs may be shared, ranks are dealt out to them in turn.
int gpu_index(const Seat& seat, int gpus, bool may_share);

// What one rank told all: its host, and its GPU's UUID; no UUID without a GPU.
struct RankGpu {
  std::string host;
  std::string uuid;
};

// A job is all GPUs or all CPUs.
void refuse_mixture(const std::vector<RankGpu>& ranks);
// Ranks may see different devices under the same index, so they compare (host, UUID).
void refuse_duplicates(const std::vector<RankGpu>& ranks);

// What --comm auto stands for; any other name is kept, except nccl without a GPU.
std::string communicator_for(const std::string& comm, bool on_gpu, int ranks);

// Why --device cuda finds nothing. `visible`: CUDA_VISIBLE_DEVICES, or null.
[[noreturn]] void refuse_missing_gpu(bool cuda_build, const char* visible);

}  // namespace cifar

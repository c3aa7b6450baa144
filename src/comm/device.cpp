#include "comm/device.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>
#endif

namespace cifar {
namespace {

#if CIFAR_HAS_CUDA
int device_count() {
  return c10::cuda::device_count();
}

void use_device(int index) {
  c10::cuda::set_device(static_cast<c10::DeviceIndex>(index));
}

cudaDeviceProp properties(int index) {
  cudaDeviceProp found{};
  if (cudaGetDeviceProperties(&found, index) != cudaSuccess) {
    throw Error(ExitCode::kUsage, fmt::format("GPU {}", index), "no answer from the driver",
                "a GPU that nvidia-smi lists");
  }
  return found;
}

std::string uuid_of(int index) {
  std::string text;
  for (const char byte : properties(index).uuid.bytes) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  }
  return text;
}
#else
int device_count() {
  return 0;
}
void use_device(int) {}
std::string uuid_of(int) {
  return {};
}
#endif

[[noreturn]] void refuse_missing_gpu() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible != nullptr && *visible == '\0') {
    throw Error(ExitCode::kUsage, "--device cuda", "CUDA_VISIBLE_DEVICES is empty",
                "GPUs given to the job (--gpus-per-node), or the variable unset");
  }
  throw Error(
      ExitCode::kUsage, "--device cuda", CIFAR_HAS_CUDA ? "no GPU is visible" : "a CPU-only build",
      CIFAR_HAS_CUDA ? "a GPU and its driver (see nvidia-smi)" : "a build with the CUDA toolkit");
}

// The index, among the visible devices, of this rank's GPU.
int index_for(const World& world, int count, bool may_share) {
  if (may_share) return world.local_rank() % count;
  if (count == 1) return 0;
  if (world.local_size() > count) {
    throw Error(ExitCode::kUsage, "--device cuda",
                fmt::format("{} ranks on {} with {} GPUs", world.local_size(), world.host(), count),
                "at most one rank a GPU (mpirun -np, --ntasks-per-node), or --comm mpi to share");
  }
  return world.local_rank();
}

// Ranks may see different devices under the same index, so they compare (host, UUID).
void refuse_duplicates(const World& world, int index) {
  const auto all = world.gather(world.host() + " " + uuid_of(index));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const auto first = std::find(all.begin(), all.end(), all[rank]) - all.begin();
    if (static_cast<size_t>(first) == rank) continue;
    throw Error(ExitCode::kUsage, "--device cuda",
                fmt::format("ranks {} and {} have the same GPU of {}", first, rank,
                            all[rank].substr(0, all[rank].find(' '))),
                "one rank a GPU (mpirun -np, --gpus-per-task=1), or --comm mpi to share");
  }
}

// A job is all GPUs or all CPUs.
void refuse_mixture(const World& world, bool has_gpu) {
  const auto all = world.gather((has_gpu ? "a GPU on " : "no GPU on ") + world.host());
  for (const auto& one : all) {
    if (one.front() == all.front().front()) continue;
    throw Error(ExitCode::kUsage, "--device auto", all.front() + ", " + one,
                "GPUs on all hosts, or --device cpu");
  }
}

}  // namespace

DeviceChoice choose_device(const std::string& device, const std::string& comm, const World& world) {
  const int count = device == "cpu" ? 0 : device_count();
  refuse_mixture(world, count > 0);
  if (count == 0) {
    if (device == "cuda") refuse_missing_gpu();
    if (comm == "nccl") {
      throw Error(ExitCode::kUsage, "--comm nccl", "no GPU", "--comm mpi on the CPU");
    }
    const std::string body = comm != "auto" ? comm : world.size() > 1 ? "mpi" : "self";
    return {torch::Device(torch::kCPU), body};
  }
  const bool may_share = comm == "mpi";
  const int index = index_for(world, count, may_share);
  if (!may_share) refuse_duplicates(world, index);
  use_device(index);
  const std::string body = comm != "auto" ? comm : world.size() > 1 ? "nccl" : "self";
  return {torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index)), body};
}

std::string describe_devices() {
  std::string text;
#if CIFAR_HAS_CUDA
  for (int index = 0; index < device_count(); ++index) {
    const auto found = properties(index);
    text += fmt::format("GPU {}: {}, {:.0f} GiB, sm_{}{}, UUID {}\n", index, found.name,
                        static_cast<double>(found.totalGlobalMem) / (1 << 30), found.major,
                        found.minor, uuid_of(index));
  }
#endif
  return text;
}

}  // namespace cifar

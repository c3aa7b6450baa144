#include "comm/device.h"

#include <fmt/format.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "comm/device_rules.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#endif

namespace cifar {
namespace {

#if CIFAR_HAS_CUDA
int device_count() {
  return c10::cuda::device_count();
}

void use_device(int index) {
  const auto device = static_cast<c10::DeviceIndex>(index);
  c10::cuda::set_device(device);
  // The default stream cannot be captured, nor can work that ever touched it.
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device));
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

// What every rank has to say; a UUID has no spaces, a host name neither.
std::vector<RankGpu> gather(const World& world, const std::string& uuid) {
  std::vector<RankGpu> ranks;
  for (const std::string& text : world.gather(world.host() + " " + uuid)) {
    const size_t space = text.find(' ');
    ranks.push_back({text.substr(0, space), text.substr(space + 1)});
  }
  return ranks;
}

}  // namespace

DeviceChoice choose_device(const std::string& device, const std::string& comm, const World& world) {
  const int gpus = device == "cpu" ? 0 : device_count();
  refuse_mixture(gather(world, gpus > 0 ? "a GPU" : ""));
  if (gpus == 0 && device == "cuda") {
    refuse_missing_gpu(CIFAR_HAS_CUDA, std::getenv("CUDA_VISIBLE_DEVICES"));
  }
  const std::string body = communicator_for(comm, gpus > 0, world.size());
  if (gpus == 0) return {torch::Device(torch::kCPU), body};

  const bool may_share = comm == "mpi";
  const int index =
      gpu_index({world.host(), world.local_rank(), world.local_size()}, gpus, may_share);
  if (!may_share) refuse_duplicates(gather(world, uuid_of(index)));
  use_device(index);
  return {torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index)), body};
}

std::string visible_devices() {
  const char* value = std::getenv("CUDA_VISIBLE_DEVICES");
  if (value == nullptr) return "unset";
  return *value == '\0' ? "empty" : value;
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

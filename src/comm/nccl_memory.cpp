#if CIFAR_HAS_CUDA
#include "comm/nccl_memory.h"

#include <ATen/ops/from_blob.h>

namespace cifar {
namespace {

// NCCL registers whole pages.
size_t rounded(size_t bytes) {
  constexpr size_t kAlignment = NCCL_WIN_REQUIRED_ALIGNMENT;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

torch::Tensor nccl_memory(ncclComm_t comm, int64_t elements, const torch::TensorOptions& options,
                          const std::function<void(ncclResult_t)>& settle) {
  const size_t bytes = rounded(static_cast<size_t>(elements) * options.dtype().itemsize());
  void* memory = nullptr;
  if (ncclMemAlloc(&memory, bytes) != ncclSuccess) return torch::zeros({elements}, options);
  ncclWindow_t window = nullptr;  // stays null where the GPUs have no use for one
  settle(ncclCommWindowRegister(comm, memory, bytes, &window, NCCL_WIN_COLL_SYMMETRIC));
  const auto release = [comm, window](void* used) {
    if (window != nullptr) ncclCommWindowDeregister(comm, window);
    ncclMemFree(used);
  };
  return at::from_blob(memory, {elements}, release, options).zero_();
}

}  // namespace cifar
#endif

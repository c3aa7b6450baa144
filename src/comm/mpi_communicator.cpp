#include "comm/mpi_communicator.h"

#include <fmt/format.h>

#include <thread>

namespace cifar {
namespace {

MPI_Datatype mpi_type(const torch::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case torch::kFloat32:
      return MPI_FLOAT;
    case torch::kFloat64:
      return MPI_DOUBLE;
    case torch::kInt64:
      return MPI_INT64_T;
    case torch::kUInt8:
      return MPI_UINT8_T;
    default:
      break;
  }
  throw Error(ExitCode::kUsage, "communicator", c10::toString(tensor.scalar_type()),
              "float32, float64, int64 or uint8");
}

int count_of(const torch::Tensor& tensor) {
  TORCH_INTERNAL_ASSERT(tensor.is_contiguous());
  TORCH_CHECK(tensor.numel() <= INT_MAX, "a tensor of ", tensor.numel(), " elements is too long");
  return static_cast<int>(tensor.numel());
}

}  // namespace

void MpiCommunicator::start_all_reduce_sum(torch::Tensor tensor) {
  torch::Tensor host = tensor.is_cpu() ? tensor : tensor.cpu();
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Iallreduce(MPI_IN_PLACE, host.data_ptr(), count_of(host), mpi_type(host), MPI_SUM,
                           world_.mpi()->all, &request),
            "MPI_Iallreduce");
  pending_.push_back({std::move(tensor), std::move(host), request});
}

void MpiCommunicator::finish() {
  for (Pending& pending : pending_) {
    wait(pending.request, "all-reduce");
    if (!pending.tensor.is_cpu()) pending.tensor.copy_(pending.host);
  }
  pending_.clear();
}

void MpiCommunicator::broadcast(torch::Tensor tensor, int root) {
  torch::Tensor host = tensor.is_cpu() ? tensor : tensor.cpu();
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibcast(host.data_ptr(), count_of(host), mpi_type(host), root, world_.mpi()->all,
                       &request),
            "MPI_Ibcast");
  wait(request, "broadcast");
  if (!tensor.is_cpu()) tensor.copy_(host);
}

void MpiCommunicator::barrier() {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(world_.mpi()->all, &request), "MPI_Ibarrier");
  wait(request, "barrier");
}

void MpiCommunicator::wait(MPI_Request& request, const char* operation) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(timeout_);
  for (;;) {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), operation);
    if (done) return;
    if (Clock::now() > deadline) {
      throw Error(ExitCode::kPeerLost, operation, fmt::format("not done after {} s", timeout_),
                  fmt::format("all {} ranks to take part (--timeout)", size()));
    }
    std::this_thread::yield();  // several ranks may share a core
  }
}

}  // namespace cifar

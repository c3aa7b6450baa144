#include "comm/mpi_communicator.h"

#include <fmt/format.h>

#include <thread>

#include "comm/tensor_type.h"

namespace cifar {
namespace {

constexpr int kExchangeTag = 1;

MPI_Datatype mpi_type(const torch::Tensor& tensor) {
  return TensorTypes<MPI_Datatype>{MPI_FLOAT, MPI_DOUBLE, MPI_INT64_T, MPI_UINT8_T}.of(tensor);
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

void MpiCommunicator::exchange(const std::vector<Message>& sends,
                               const std::vector<Message>& receives) {
  std::vector<Pending> pending;
  for (const auto& [tensor, peer] : receives) {
    pending.push_back({tensor, tensor.is_cpu() ? tensor : torch::empty_like(tensor, torch::kCPU),
                       MPI_REQUEST_NULL});
    torch::Tensor& host = pending.back().host;
    check_mpi(MPI_Irecv(host.data_ptr(), count_of(host), mpi_type(host), peer, kExchangeTag,
                        world_.mpi()->all, &pending.back().request),
              "MPI_Irecv");
  }
  for (const auto& [tensor, peer] : sends) {
    pending.push_back({tensor, tensor.cpu(), MPI_REQUEST_NULL});
    torch::Tensor& host = pending.back().host;
    check_mpi(MPI_Isend(host.data_ptr(), count_of(host), mpi_type(host), peer, kExchangeTag,
                        world_.mpi()->all, &pending.back().request),
              "MPI_Isend");
  }
  for (size_t k = 0; k < pending.size(); ++k) {
    wait(pending[k].request, "exchange");
    const bool received = k < receives.size();
    if (received && !pending[k].tensor.is_cpu()) pending[k].tensor.copy_(pending[k].host);
  }
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

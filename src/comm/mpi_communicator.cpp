#include "comm/mpi_communicator.h"

#include "comm/roll_call.h"
#include "comm/tensor_type.h"

namespace cifar {
namespace {

constexpr int kExchangeTag = 1;

MPI_Datatype mpi_type(const torch::Tensor& tensor) {
  return TensorTypes<MPI_Datatype>{MPI_FLOAT,    MPI_DOUBLE,  MPI_UINT16_T,
                                   MPI_UINT16_T, MPI_INT64_T, MPI_UINT8_T}
      .of(tensor);
}

int count_of(const torch::Tensor& tensor) {
  TORCH_INTERNAL_ASSERT(tensor.is_contiguous());
  TORCH_CHECK(tensor.numel() <= INT_MAX, "a tensor of ", tensor.numel(), " elements is too long");
  return static_cast<int>(tensor.numel());
}

}  // namespace

// What is still under way, because a wait was given up or the caller failed, goes on in MPI.
MpiCommunicator::~MpiCommunicator() {
  for (Pending& pending : pending_) world_.mpi()->abandoned.push_back(std::move(pending.host));
}

Operation MpiCommunicator::next(const char* name) const {
  return next_operation(world_, name, step());
}

template <typename Call>
void MpiCommunicator::begin(const Operation& operation, torch::Tensor result, torch::Tensor host,
                            const Call& call) {
  const int count = count_of(host);
  const MPI_Datatype type = mpi_type(host);
  void* data = host.data_ptr();
  pending_.push_back({std::move(result), std::move(host), MPI_REQUEST_NULL, operation});
  start(world_, operation, timeout_,
        [&] { return call(data, count, type, &pending_.back().request); });
}

void MpiCommunicator::finish_from(size_t first) {
  Deadline deadline(timeout_);
  for (size_t k = first; k < pending_.size(); ++k) {
    Pending& pending = pending_[k];
    await(world_, pending.request, pending.operation, deadline);
    if (pending.result.defined() && !pending.result.is_cpu()) pending.result.copy_(pending.host);
  }
  pending_.erase(pending_.begin() + static_cast<ptrdiff_t>(first), pending_.end());
}

void MpiCommunicator::start_all_reduce_sum(torch::Tensor tensor) {
  const MPI_Op sum = sum_.of(tensor);
  begin(next("all-reduce"), tensor, tensor.cpu(),
        [&](void* data, int count, MPI_Datatype type, MPI_Request* request) {
          return MPI_Iallreduce(MPI_IN_PLACE, data, count, type, sum, world_.mpi()->all, request);
        });
}

void MpiCommunicator::broadcast(torch::Tensor tensor, int root) {
  const size_t first = pending_.size();
  begin(next("broadcast"), tensor, tensor.cpu(),
        [&](void* data, int count, MPI_Datatype type, MPI_Request* request) {
          return MPI_Ibcast(data, count, type, root, world_.mpi()->all, request);
        });
  finish_from(first);
}

void MpiCommunicator::exchange(const std::vector<Message>& sends,
                               const std::vector<Message>& receives) {
  const size_t first = pending_.size();
  const Operation operation = next("exchange");
  for (const auto& [tensor, peer] : receives) {
    const torch::Tensor host = tensor.is_cpu() ? tensor : torch::empty_like(tensor, torch::kCPU);
    begin(operation, tensor, host,
          [&](void* data, int count, MPI_Datatype type, MPI_Request* request) {
            return MPI_Irecv(data, count, type, peer, kExchangeTag, world_.mpi()->all, request);
          });
  }
  for (const auto& [tensor, peer] : sends) {
    begin(operation, {}, tensor.cpu(),
          [&](void* data, int count, MPI_Datatype type, MPI_Request* request) {
            return MPI_Isend(data, count, type, peer, kExchangeTag, world_.mpi()->all, request);
          });
  }
  finish_from(first);
}

void MpiCommunicator::barrier() {
  const size_t first = pending_.size();
  begin(next("barrier"), {}, torch::empty({0}),
        [&](void*, int, MPI_Datatype, MPI_Request* request) {
          return MPI_Ibarrier(world_.mpi()->all, request);
        });
  finish_from(first);
}

}  // namespace cifar

#include "comm/nccl_communicator.h"

#include <fmt/format.h>

#include "base/error.h"

#if CIFAR_HAS_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include "comm/tensor_type.h"

namespace cifar {
namespace {

void check_nccl(ncclResult_t status, const char* call,
                std::source_location where = std::source_location::current()) {
  if (status == ncclSuccess) return;
  throw Error(ExitCode::kPeerLost, call, ncclGetErrorString(status), "NCCL to answer", where);
}

ncclDataType_t nccl_type(const torch::Tensor& tensor) {
  return TensorTypes<ncclDataType_t>{ncclFloat32, ncclFloat64, ncclInt64, ncclUint8}.of(tensor);
}

bool all_on_cpu(const std::vector<Message>& messages) {
  return std::all_of(messages.begin(), messages.end(),
                     [](const Message& message) { return message.tensor.is_cpu(); });
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const World& world, double timeout)
      : world_(world),
        host_(make_communicator(world.mpi() ? "mpi" : "self", world, timeout)),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true)) {
    ncclUniqueId id{};
    if (rank() == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
    host_->broadcast(torch::from_blob(&id, {int64_t{sizeof(id)}}, torch::kUInt8), 0);
    check_nccl(ncclCommInitRank(&nccl_, size(), id, rank()), "ncclCommInitRank");
  }

  ~NcclCommunicator() override {
    stream_.synchronize();
    ncclCommDestroy(nccl_);
  }

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string name() const override { return "nccl"; }

  void start_all_reduce_sum(torch::Tensor tensor) override {
    if (tensor.is_cpu()) return host_->start_all_reduce_sum(std::move(tensor));
    follow_current_stream(tensor);
    check_nccl(ncclAllReduce(tensor.data_ptr(), tensor.data_ptr(), tensor.numel(),
                             nccl_type(tensor), ncclSum, nccl_, stream_),
               "ncclAllReduce");
    started_ = true;
  }

  void finish() override {
    host_->finish();
    if (started_) lead_current_stream();
    started_ = false;
  }

  void broadcast(torch::Tensor tensor, int root) override {
    if (tensor.is_cpu()) return host_->broadcast(std::move(tensor), root);
    follow_current_stream(tensor);
    check_nccl(ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.numel(),
                             nccl_type(tensor), root, nccl_, stream_),
               "ncclBroadcast");
    lead_current_stream();
  }

  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override {
    if (all_on_cpu(sends) && all_on_cpu(receives)) return host_->exchange(sends, receives);
    check_nccl(ncclGroupStart(), "ncclGroupStart");
    for (const auto& [tensor, peer] : sends) {
      follow_current_stream(tensor);
      check_nccl(
          ncclSend(tensor.data_ptr(), tensor.numel(), nccl_type(tensor), peer, nccl_, stream_),
          "ncclSend");
    }
    for (const auto& [tensor, peer] : receives) {
      follow_current_stream(tensor);
      check_nccl(
          ncclRecv(tensor.data_ptr(), tensor.numel(), nccl_type(tensor), peer, nccl_, stream_),
          "ncclRecv");
    }
    check_nccl(ncclGroupEnd(), "ncclGroupEnd");
    lead_current_stream();
  }

  void barrier() override { host_->barrier(); }

 private:
  // What is sent next comes after all that the current stream has been given so far.
  void follow_current_stream(const torch::Tensor& tensor) {
    ready_.record(c10::cuda::getCurrentCUDAStream());
    ready_.block(stream_);
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), stream_);
  }

  void lead_current_stream() {
    done_.record(stream_);
    done_.block(c10::cuda::getCurrentCUDAStream());
  }

  const World& world_;
  std::unique_ptr<Communicator> host_;
  c10::cuda::CUDAStream stream_;
  at::cuda::CUDAEvent ready_, done_;
  ncclComm_t nccl_ = nullptr;
  bool started_ = false;
};

}  // namespace

std::unique_ptr<Communicator> make_nccl_communicator(const World& world, double timeout) {
  return std::make_unique<NcclCommunicator>(world, timeout);
}

std::string nccl_version() {
  int version = 0;
  if (ncclGetVersion(&version) != ncclSuccess) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace cifar

#else

namespace cifar {

std::unique_ptr<Communicator> make_nccl_communicator(const World&, double) {
  throw Error(ExitCode::kUsage, "--comm nccl", "a CPU-only build", "a build with the CUDA toolkit");
}

std::string nccl_version() {
  return "not built in";
}

}  // namespace cifar

#endif

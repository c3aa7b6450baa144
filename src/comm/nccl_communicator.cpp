#include "comm/nccl_communicator.h"

#include <fmt/format.h>

#include <cstring>

#include "base/error.h"
#include "base/log.h"

#if CIFAR_HAS_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <algorithm>
#include <thread>

#include "comm/nccl_memory.h"
#include "comm/progress_queue.h"
#include "comm/roll_call.h"
#include "comm/tensor_type.h"

namespace cifar {
namespace {

ncclDataType_t nccl_type(const torch::Tensor& tensor) {
  return TensorTypes<ncclDataType_t>{ncclFloat32,  ncclFloat64, ncclFloat16,
                                     ncclBfloat16, ncclInt64,   ncclUint8}
      .of(tensor);
}

bool is_error(ncclResult_t status) {
  return status != ncclSuccess && status != ncclInProgress;
}

std::vector<Message> select(const std::vector<Message>& messages, bool on_cpu) {
  std::vector<Message> selected;
  std::copy_if(messages.begin(), messages.end(), std::back_inserter(selected),
               [&](const Message& message) { return message.tensor.is_cpu() == on_cpu; });
  return selected;
}

class NcclCommunicator : public Communicator {
 public:
  NcclCommunicator(const World& world, double timeout)
      : world_(world),
        timeout_(timeout),
        host_(make_communicator(world.mpi() ? "mpi" : "self", world, timeout)),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true)),
        queue_(timeout) {
    ncclUniqueId id{};
    if (rank() == 0) settle(ncclGetUniqueId(&id), "start of NCCL");
    // Of its own memory: a broadcast that fails may still write to it.
    const auto bytes = torch::empty({int64_t{sizeof(id)}}, torch::kUInt8);
    std::memcpy(bytes.data_ptr(), &id, sizeof(id));
    host_->broadcast(bytes, 0);
    std::memcpy(&id, bytes.const_data_ptr(), sizeof(id));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    settle(ncclCommInitRankConfig(&nccl_, size(), id, rank(), &config), "start of NCCL");
    watch_ = std::jthread([this](const std::stop_token& stop) { watch(stop); });
  }

  ~NcclCommunicator() override {
    watch_ = {};
    const bool idle = cudaStreamQuery(stream_) == cudaSuccess;
    if (idle && outcome(ncclCommFinalize(nccl_), /*seconds=*/10) == ncclSuccess) {
      ncclCommDestroy(nccl_);
    } else {
      ncclCommAbort(nccl_);  // an error is on its way, and nobody wants the sums any more
    }
  }

  int rank() const override { return world_.rank(); }
  int size() const override { return world_.size(); }
  std::string name() const override { return "nccl"; }

  void watch() override { watch_for("work on the GPU", c10::cuda::getCurrentCUDAStream()); }

  void set_step(int64_t step) override {
    Communicator::set_step(step);
    host_->set_step(step);
  }

  void start_all_reduce_sum(torch::Tensor tensor) override {
    if (tensor.is_cpu()) return host_->start_all_reduce_sum(std::move(tensor));
    follow_current_stream();
    use(tensor);
    settle(ncclAllReduce(tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), nccl_type(tensor),
                         ncclSum, nccl_, stream_),
           "all-reduce");
    started_ = true;
  }

  torch::Tensor allocate(int64_t elements, const torch::TensorOptions& options) override {
    if (size() == 1 || options.device().is_cpu()) return Communicator::allocate(elements, options);
    return nccl_memory(nccl_, elements, options,
                       [this](ncclResult_t status) { settle(status, "registration of memory"); });
  }

  void finish() override {
    host_->finish();
    if (started_) lead_current_stream("all-reduce");
    started_ = false;
  }

  void broadcast(torch::Tensor tensor, int root) override {
    if (tensor.is_cpu()) return host_->broadcast(std::move(tensor), root);
    follow_current_stream();
    use(tensor);
    settle(ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), tensor.numel(), nccl_type(tensor),
                         root, nccl_, stream_),
           "broadcast");
    lead_current_stream("broadcast");
  }

  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override {
    host_->exchange(select(sends, true), select(receives, true));
    const auto device_sends = select(sends, false), device_receives = select(receives, false);
    if (device_sends.empty() && device_receives.empty()) return;
    follow_current_stream();
    check(ncclGroupStart());
    for (const auto& [tensor, peer] : device_sends) {
      use(tensor);
      check(ncclSend(tensor.data_ptr(), tensor.numel(), nccl_type(tensor), peer, nccl_, stream_));
    }
    for (const auto& [tensor, peer] : device_receives) {
      use(tensor);
      check(ncclRecv(tensor.data_ptr(), tensor.numel(), nccl_type(tensor), peer, nccl_, stream_));
    }
    settle(ncclGroupEnd(), "exchange");
    lead_current_stream("exchange");
  }

  void barrier() override { host_->barrier(); }

 private:
  // What is sent next comes after all that the current stream has been given so far.
  void follow_current_stream() {
    ready_.record(c10::cuda::getCurrentCUDAStream());
    ready_.block(stream_);
  }

  void use(const torch::Tensor& tensor) {
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), stream_);
  }

  void lead_current_stream(const char* operation) {
    done_.record(stream_);
    done_.block(c10::cuda::getCurrentCUDAStream());
    watch_for(operation, stream_);
  }

  // An event that is recorded while a graph is captured never happens: the replays are watched.
  void watch_for(const char* operation, c10::cuda::CUDAStream stream) {
    if (c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None) return;
    auto event = std::make_shared<at::cuda::CUDAEvent>();
    event->record(stream);
    // An error of CUDA counts as done: the main thread meets it too.
    queue_.add({operation, step()}, [event = std::move(event)] {
      return cudaEventQuery(event->event()) != cudaErrorNotReady;
    });
  }

  // In a group calls are only noted; their errors are reported at once.
  void check(ncclResult_t status) {
    if (is_error(status)) throw lost({"exchange", step()}, Reason::kFailed, status);
  }

  // What became of a call that returned `status`; ncclInProgress: not done in that time.
  ncclResult_t outcome(ncclResult_t status, double seconds) const {
    const Deadline deadline(seconds);
    while (status == ncclInProgress && !deadline.passed()) {
      std::this_thread::yield();
      const ncclResult_t asked = ncclCommGetAsyncError(nccl_, &status);
      if (is_error(asked)) return asked;
    }
    return status;
  }

  void settle(ncclResult_t status, const char* operation) {
    status = outcome(status, timeout_);
    if (status == ncclSuccess) return;
    const Reason reason = status == ncclInProgress ? Reason::kLate : Reason::kFailed;
    throw lost({operation, step()}, reason, status);
  }

  PeerLost lost(const Operation& operation, Reason reason, ncclResult_t status) {
    return peer_lost(world_, operation, timeout_, reason,
                     is_error(status) ? ncclGetErrorString(status) : "");
  }

  // Looks at the device, at NCCL's own errors, and for roll calls of other ranks. A capture has to
  // be thread-local; this thread's mode lets it ask for events all the same if it is not.
  void watch(const std::stop_token& stop) {
    const c10::cuda::CUDAStreamCaptureModeGuard mode(cudaStreamCaptureModeThreadLocal);
    while (!stop.stop_requested()) {
      const Deadline absence(kAbsenceSeconds);
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      if (absence.passed()) queue_.restart();
      ncclResult_t status = ncclSuccess;
      ncclCommGetAsyncError(nccl_, &status);
      if (is_error(status)) return end_job({"work on the GPU"}, Reason::kFailed, status, stop);
      if (const auto late = queue_.overdue()) return end_job(*late, Reason::kLate, status, stop);
      if (world_.mpi() && roll_call_heard(*world_.mpi())) {
        return end_job({"work on the GPU"}, Reason::kCalled, status, stop);
      }
    }
  }

  // Unless the main thread has found out by itself.
  void end_job(const Operation& operation, Reason reason, ncclResult_t status,
               const std::stop_token& stop) {
    std::unique_lock<std::recursive_mutex> gate;
    if (world_.mpi() && !(gate = {world_.mpi()->giving_up, std::try_to_lock})) return;
    const PeerLost error = lost(operation, reason, status);
    if (stop.stop_requested()) return;
    print_error(error.what(), world_.context(error.where()));
    world_.abort(static_cast<int>(error.code()));
  }

  const World& world_;
  double timeout_;
  std::unique_ptr<Communicator> host_;
  c10::cuda::CUDAStream stream_;
  at::cuda::CUDAEvent ready_, done_;
  ncclComm_t nccl_ = nullptr;
  bool started_ = false;
  ProgressQueue queue_;
  std::jthread watch_;
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

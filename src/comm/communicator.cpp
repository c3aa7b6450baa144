#include "comm/communicator.h"

#include "base/error.h"
#include "comm/mpi_communicator.h"
#include "comm/nccl_communicator.h"

namespace cifar {
namespace {

// A world of one: a sum over all ranks is what is already there.
class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::string name() const override { return "self"; }

  void start_all_reduce_sum(torch::Tensor) override {}
  void finish() override {}
  void broadcast(torch::Tensor, int) override {}
  void exchange(const std::vector<Message>& sends, const std::vector<Message>& receives) override {
    TORCH_INTERNAL_ASSERT(sends.empty() && receives.empty());
  }
  void barrier() override {}
};

}  // namespace

std::unique_ptr<Communicator> make_communicator(const std::string& kind, const World& world,
                                                double timeout) {
  if (kind == "nccl") return make_nccl_communicator(world, timeout);
  if (kind == "self") {
    if (world.size() > 1) {
      throw Error(ExitCode::kUsage, "--comm self", std::to_string(world.size()) + " ranks",
                  "one rank");
    }
    return std::make_unique<SelfCommunicator>();
  }
  if (world.mpi() == nullptr) {
    throw Error(ExitCode::kUsage, "--comm mpi", "a process that no launcher started", "mpirun");
  }
  return std::make_unique<MpiCommunicator>(world, timeout);
}

}  // namespace cifar

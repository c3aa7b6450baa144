#include "parallel/reducer.h"

#include "base/error.h"
#include "parallel/bucket_size.h"
#include "parallel/ordered_reducer.h"
#include "parallel/overlapped_reducer.h"

namespace cifar {
namespace {

torch::ScalarType type_of(const std::string& precision) {
  if (precision == "bf16") return torch::kBFloat16;
  return precision == "fp16" ? torch::kHalf : torch::kFloat32;
}

int64_t bucket_bytes(int64_t kib, Communicator& comm, const FlatState& state,
                     torch::ScalarType type) {
  if (kib > 0) return kib * 1024;
  const int64_t all = state.reduced().numel() * static_cast<int64_t>(c10::elementSize(type));
  if (comm.size() == 1) return all;
  const auto options = state.gradients().options().dtype(type);
  return best_bucket_bytes(measure_sums(comm, all, options), state, type);
}

}  // namespace

std::unique_ptr<Reducer> make_reducer(const TrainConfig& config, Communicator& comm,
                                      const FlatState& state) {
  const torch::ScalarType type = type_of(config.reduction_precision);
  if (config.reduction == "overlapped") {
    const int64_t bytes = bucket_bytes(config.bucket_kib, comm, state, type);
    return std::make_unique<OverlappedReducer>(comm, state, bytes, type);
  }
  if (comm.size() > config.shards) {
    throw Error(
        ExitCode::kUsage, "--reduction ordered",
        std::to_string(comm.size()) + " ranks for " + std::to_string(config.shards) + " shards",
        "at most as many ranks as shards, or --reduction overlapped");
  }
  return std::make_unique<OrderedReducer>(comm, state, config.shards, type);
}

}  // namespace cifar

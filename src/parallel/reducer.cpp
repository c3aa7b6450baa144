#include "parallel/reducer.h"

#include "base/error.h"
#include "comm/tensor_type.h"
#include "parallel/bucket_size.h"
#include "parallel/ordered_reducer.h"
#include "parallel/overlapped_reducer.h"

namespace cifar {
namespace {

constexpr int64_t kWholeKib = int64_t{1} << 40;  // more than any gradient has

}  // namespace

void choose_buckets(TrainConfig& config, Communicator& comm, const FlatState& state) {
  if (config.reduction != "overlapped" || config.bucket_kib > 0 || comm.size() == 1) return;
  const torch::ScalarType type = scalar_type_of(config.reduction_precision);
  const torch::Tensor& reduced = state.reduced();
  const auto bytes = reduced.numel() * static_cast<int64_t>(c10::elementSize(type));
  const torch::Tensor memory =
      reduced.narrow(0, 0, bytes / static_cast<int64_t>(reduced.element_size())).view(type);
  config.bucket_kib = best_bucket_kib(measure_sums(comm, memory), state, type);
}

std::unique_ptr<Reducer> make_reducer(const TrainConfig& config, Communicator& comm,
                                      const FlatState& state) {
  const torch::ScalarType type = scalar_type_of(config.reduction_precision);
  if (config.reduction == "overlapped") {
    const int64_t kib = config.bucket_kib > 0 ? config.bucket_kib : kWholeKib;
    return std::make_unique<OverlappedReducer>(comm, state, kib * 1024, type);
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

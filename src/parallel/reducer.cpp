#include "parallel/reducer.h"

#include "base/error.h"
#include "parallel/ordered_reducer.h"
#include "parallel/overlapped_reducer.h"

namespace cifar {
namespace {

// Large enough for one launch to pay, small enough that the last layers' sums run beside backward.
constexpr int64_t kBucketBytes = 256 * 1024;

}  // namespace

std::unique_ptr<Reducer> make_reducer(const std::string& kind, Communicator& comm,
                                      const FlatState& state, int64_t shards) {
  if (kind == "overlapped") return std::make_unique<OverlappedReducer>(comm, state, kBucketBytes);
  if (comm.size() > shards) {
    throw Error(ExitCode::kUsage, "--reduction ordered",
                std::to_string(comm.size()) + " ranks for " + std::to_string(shards) + " shards",
                "at most as many ranks as shards, or --reduction overlapped");
  }
  return std::make_unique<OrderedReducer>(comm, state, shards);
}

}  // namespace cifar

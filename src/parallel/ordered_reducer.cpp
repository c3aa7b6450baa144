#include "parallel/ordered_reducer.h"

namespace cifar {

OrderedReducer::OrderedReducer(Communicator& comm, const FlatState& state, int64_t shards,
                               torch::ScalarType type)
    : rest_(state.rest()), gradients_(state.gradients()) {
  if (type == torch::kFloat32) {
    sums_.emplace_back(comm, state.reduced(), shards);
    return;
  }
  rounded_ = comm.allocate(gradients_.numel(), gradients_.options().dtype(type));
  sums_.emplace_back(comm, rounded_, shards);
  sums_.emplace_back(comm, rest_, shards);
}

void OrderedReducer::begin() {
  rest_.zero_();
  for (OrderedSum& sum : sums_) sum.begin();
}

void OrderedReducer::after_shard(int64_t shard) {
  torch::NoGradGuard no_grad;
  if (rounded_.defined()) rounded_.copy_(gradients_);
  bool free = true;  // to all sums alike
  for (OrderedSum& sum : sums_) free = sum.after_shard(shard);
  if (free) rest_.zero_();
}

void OrderedReducer::finish() {
  torch::NoGradGuard no_grad;
  for (OrderedSum& sum : sums_) sum.finish();
  if (rounded_.defined()) gradients_.copy_(rounded_);
}

}  // namespace cifar

#include "parallel/ordered_reducer.h"

namespace cifar {

OrderedReducer::OrderedReducer(Communicator& comm, const FlatState& state, int64_t shards,
                               torch::ScalarType type)
    : reduced_(state.reduced()), gradients_(state.gradients()) {
  if (type == torch::kFloat32) {
    sums_.emplace_back(comm, reduced_, shards);
    return;
  }
  rounded_ = comm.allocate(gradients_.numel(), gradients_.options().dtype(type));
  sums_.emplace_back(comm, rounded_, shards);
  sums_.emplace_back(comm, state.rest(), shards);
}

void OrderedReducer::begin() {
  reduced_.zero_();
  for (OrderedSum& sum : sums_) sum.begin();
}

void OrderedReducer::after_shard(int64_t shard) {
  torch::NoGradGuard no_grad;
  if (rounded_.defined()) {
    rounded_.copy_(gradients_);
    gradients_.zero_();
  }
  for (OrderedSum& sum : sums_) sum.after_shard(shard);
}

void OrderedReducer::finish() {
  torch::NoGradGuard no_grad;
  for (OrderedSum& sum : sums_) sum.finish();
  if (rounded_.defined()) gradients_.copy_(rounded_);
}

}  // namespace cifar

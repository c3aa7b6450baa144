#include "parallel/overlapped_reducer.h"

#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <functional>
#include <numeric>

namespace cifar {

OverlappedReducer::OverlappedReducer(Communicator& comm, const FlatState& state,
                                     int64_t bucket_bytes)
    : comm_(comm), reduced_(state.reduced()) {
  const auto& entries = state.parameter_entries();
  const int64_t element = static_cast<int64_t>(state.reduced().element_size());
  // The metrics, at the end of the flat tensor, are known before backward: they go with the first.
  int64_t end = state.reduced().numel(), parameters = 0;
  size_t earliest = entries.size();
  std::vector<size_t> earliest_of;  // of each bucket its parameter that backward reaches last
  for (size_t i = entries.size(); i-- > 0;) {
    const size_t bucket = buckets_.size();
    if (entries[i].tensor.requires_grad()) {
      watch(entries[i].tensor, bucket);
      ++parameters;
      earliest = std::min(earliest, entries[i].place);
    }
    if (i > 0 && (end - entries[i].offset) * element < bucket_bytes) continue;
    buckets_.push_back(
        {state.reduced().narrow(0, entries[i].offset, end - entries[i].offset), parameters, 0});
    earliest_of.push_back(earliest);
    end = entries[i].offset;
    parameters = 0;
    earliest = entries.size();
  }
  order_.resize(buckets_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::ranges::stable_sort(order_, std::ranges::greater(),
                           [&](size_t i) { return earliest_of[i]; });
}

void OverlappedReducer::watch(const torch::Tensor& parameter, size_t bucket) {
  auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
  const uintptr_t key =
      accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [this, bucket](const torch::autograd::variable_list& outputs,
                         const torch::autograd::variable_list&) {
            on_gradient(bucket);
            return outputs;
          }));
  hooks_.push_back({std::move(accumulator), key});
}

OverlappedReducer::~OverlappedReducer() {
  for (Hook& hook : hooks_) hook.accumulator->del_post_hook(hook.key);
}

void OverlappedReducer::before_backward(bool last) {
  if (!last) return;
  for (Bucket& bucket : buckets_) bucket.missing = bucket.parameters;
  started_ = 0;
  armed_ = true;
}

void OverlappedReducer::finish() {
  if (!armed_) started_ = 0;  // no sample fell to this rank: its zeros are reduced all the same
  for (Bucket& bucket : buckets_) bucket.missing = 0;
  start_ready();
  comm_.finish();
  armed_ = false;
}

void OverlappedReducer::on_gradient(size_t bucket) {
  if (!armed_) return;
  --buckets_[bucket].missing;
  start_ready();
}

void OverlappedReducer::start_ready() {
  while (started_ < buckets_.size() && buckets_[order_[started_]].missing == 0) {
    comm_.start_all_reduce_sum(buckets_[order_[started_++]].flat);
  }
}

}  // namespace cifar

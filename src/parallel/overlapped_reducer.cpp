#include "parallel/overlapped_reducer.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "parallel/buckets.h"

namespace cifar {

OverlappedReducer::OverlappedReducer(Communicator& comm, const FlatState& state,
                                     int64_t bucket_bytes, torch::ScalarType type)
    : comm_(comm), reduced_(state.reduced()) {
  const bool rounds = type != torch::kFloat32;
  if (rounds) {
    const torch::Tensor& gradients = state.gradients();
    rounded_ = comm.allocate(gradients.numel(), gradients.options().dtype(type));
  }
  const auto element = static_cast<int64_t>(c10::elementSize(type));
  for (const Bucket& bucket : buckets_of(state, bucket_bytes / element, rounds)) {
    const Range& part = bucket.elements;
    const torch::Tensor flat = reduced_.narrow(0, part.first, part.count);
    const bool sent_as_it_is = !rounds || part.first >= rounded_.numel();
    for (const size_t i : bucket.parameters) {
      watch(state.parameter_entries()[i].tensor, pieces_.size());
    }
    pieces_.push_back({flat, sent_as_it_is ? flat : rounded_.narrow(0, part.first, part.count),
                       static_cast<int64_t>(bucket.parameters.size())});
  }
}

void OverlappedReducer::watch(const torch::Tensor& parameter, size_t piece) {
  auto accumulator = torch::autograd::impl::grad_accumulator(parameter);
  const uintptr_t key =
      accumulator->add_post_hook(std::make_unique<torch::autograd::utils::LambdaPostHook>(
          [this, piece](const torch::autograd::variable_list& outputs,
                        const torch::autograd::variable_list&) {
            on_gradient(piece);
            return outputs;
          }));
  hooks_.push_back({std::move(accumulator), key});
}

OverlappedReducer::~OverlappedReducer() {
  for (Hook& hook : hooks_) hook.accumulator->del_post_hook(hook.key);
}

void OverlappedReducer::before_backward(bool last) {
  if (!last) return;
  for (Piece& piece : pieces_) piece.missing = piece.parameters;
  started_ = 0;
  armed_ = true;
}

void OverlappedReducer::finish() {
  if (!armed_) started_ = 0;  // no sample fell to this rank: its zeros are reduced all the same
  for (Piece& piece : pieces_) piece.missing = 0;
  start_ready();
  comm_.finish();
  for (Piece& piece : pieces_) {
    if (!piece.sent.is_same(piece.flat)) piece.flat.copy_(piece.sent);
  }
  armed_ = false;
}

void OverlappedReducer::on_gradient(size_t piece) {
  if (!armed_) return;
  --pieces_[piece].missing;
  start_ready();
}

void OverlappedReducer::start_ready() {
  for (; started_ < pieces_.size() && pieces_[started_].missing == 0; ++started_) {
    Piece& piece = pieces_[started_];
    if (!piece.sent.is_same(piece.flat)) piece.sent.copy_(piece.flat);
    comm_.start_all_reduce_sum(piece.sent);
  }
}

std::string OverlappedReducer::text() const {
  return fmt::format("overlapped, {} bucket{}", buckets(), buckets() == 1 ? "" : "s");
}

}  // namespace cifar

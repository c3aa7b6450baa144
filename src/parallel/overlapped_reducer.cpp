#include "parallel/overlapped_reducer.h"

#include <fmt/format.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <utility>

#include "parallel/buckets.h"

namespace cifar {
namespace {

class Hook : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit Hook(std::function<void()> action) : action_(std::move(action)) {}
  void operator()(const torch::Tensor&) override { action_(); }

 private:
  std::function<void()> action_;
};

}  // namespace

OverlappedReducer::OverlappedReducer(Communicator& comm, const FlatState& state,
                                     int64_t bucket_bytes, torch::ScalarType type)
    : comm_(comm), gradients_(state.gradients()), reduced_(state.reduced()), rest_(state.rest()) {
  const bool rounds = type != torch::kFloat32;
  if (rounds) {
    rounded_ = comm.allocate(gradients_.numel(), gradients_.options().dtype(type));
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
  TORCH_INTERNAL_ASSERT(!torch::autograd::impl::post_acc_grad_hooks(parameter));
  torch::autograd::impl::set_post_acc_grad_hooks(
      parameter, std::make_unique<Hook>([this, piece] { on_gradient(piece); }));
  watched_.push_back(parameter);
}

OverlappedReducer::~OverlappedReducer() {
  for (const torch::Tensor& parameter : watched_) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void OverlappedReducer::begin() {
  rest_.zero_();
  written_ = false;
}

void OverlappedReducer::before_backward(bool last) {
  if (!last) return;
  for (Piece& piece : pieces_) piece.missing = piece.parameters;
  started_ = 0;
  armed_ = true;
}

void OverlappedReducer::finish() {
  if (!written_) gradients_.zero_();  // no shard fell to this rank, and
  if (!armed_) started_ = 0;          // no sample did: its zeros are reduced all the same
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

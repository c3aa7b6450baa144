// Sums the gradients of all ranks while backward still runs: the flat gradient is cut into buckets,
// and a bucket's all-reduce starts as soon as its last parameter has its gradient.
//
// Buckets start in one fixed order on every rank (last parameters first, as backward reaches them);
// one that is ready early waits for those before it, one that no gradient reaches starts in
// finish().
#pragma once

#include <torch/types.h>

#include <vector>

#include "parallel/reducer.h"

namespace cifar {

// One at a time for a FlatState: it takes its parameters' post-accumulate-grad hooks.
class OverlappedReducer : public Reducer {
 public:
  // `bucket_bytes`: a bucket is closed once so many are to be sent for it. `type`, of the gradients
  // on their way, is what a rank's sums are rounded to; metrics and statistics travel in float32.
  OverlappedReducer(Communicator& comm, const FlatState& state, int64_t bucket_bytes,
                    torch::ScalarType type = torch::kFloat32);
  ~OverlappedReducer() override;

  void begin() override;
  bool writes_next() const override { return !written_; }
  // Before the last one, the gradients that backward makes are whole.
  void before_backward(bool last) override;
  void after_shard(int64_t) override { written_ = true; }
  void finish() override;
  std::string text() const override;

  int64_t buckets() const { return static_cast<int64_t>(pieces_.size()); }

 private:
  struct Piece {
    torch::Tensor flat;   // its slice of state.reduced()
    torch::Tensor sent;   // `flat` itself, or what it is rounded to
    int64_t parameters;   // that train; none where all are frozen: ready from the start
    int64_t missing = 0;  // of them, in this step
  };

  void watch(const torch::Tensor& parameter, size_t piece);
  void on_gradient(size_t piece);
  void start_ready();

  Communicator& comm_;
  torch::Tensor gradients_, reduced_, rest_;
  torch::Tensor rounded_;               // as long as the gradients; undefined for float32
  std::vector<Piece> pieces_;           // in the order in which they are started
  std::vector<torch::Tensor> watched_;  // parameters
  size_t started_ = 0;
  bool written_ = false;  // a shard's gradients, in this step
  bool armed_ = false;
};

}  // namespace cifar

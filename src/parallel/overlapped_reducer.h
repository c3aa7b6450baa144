// Sums the gradients of all ranks while backward still runs: the flat gradient is cut into buckets,
// and a bucket's all-reduce starts as soon as its last parameter has its gradient.
//
// Buckets start in one fixed order on every rank (last parameters first, as backward reaches them);
// one that is ready early waits for those before it, one that no gradient reaches starts in
// finish().
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "parallel/reducer.h"

namespace cifar {

class OverlappedReducer : public Reducer {
 public:
  // `bucket_bytes`: a bucket is closed once it holds that much.
  OverlappedReducer(Communicator& comm, const FlatState& state, int64_t bucket_bytes);
  ~OverlappedReducer() override;

  void begin() override { reduced_.zero_(); }
  // Before the last one, the gradients that backward makes are whole.
  void before_backward(bool last) override;
  void after_shard(int64_t) override {}
  void finish() override;

  int64_t buckets() const { return static_cast<int64_t>(buckets_.size()); }

 private:
  struct Bucket {
    torch::Tensor flat;  // its slice of state.reduced()
    int64_t parameters;  // that train; none where all are frozen: ready from the start
    int64_t missing;
  };
  struct Hook {
    std::shared_ptr<torch::autograd::Node> accumulator;  // keeps the hook alive
    uintptr_t key;
  };

  void watch(const torch::Tensor& parameter, size_t bucket);
  void on_gradient(size_t bucket);
  void start_ready();

  Communicator& comm_;
  torch::Tensor reduced_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> order_;  // in which they are started, the same on every rank: as backward
                               // completes them, from the last layers to the first
  std::vector<Hook> hooks_;
  size_t started_ = 0;
  bool armed_ = false;
};

}  // namespace cifar

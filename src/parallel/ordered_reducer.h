// Adds the shards of a step in one fixed order (ordered_sum.h): the same bits on any number of
// ranks.
#pragma once

#include <vector>

#include "parallel/ordered_sum.h"
#include "parallel/reducer.h"

namespace cifar {

class OrderedReducer : public Reducer {
 public:
  // `type`, of the gradients on their way, is what each shard's gradient is rounded to, and each
  // sum of them; metrics and statistics travel in float32.
  OrderedReducer(Communicator& comm, const FlatState& state, int64_t shards,
                 torch::ScalarType type = torch::kFloat32);

  void begin() override;
  bool writes_next() const override { return true; }
  void before_backward(bool) override {}
  void after_shard(int64_t shard) override;
  void finish() override;
  std::string text() const override { return "ordered"; }

 private:
  torch::Tensor rest_;
  torch::Tensor gradients_, rounded_;  // `rounded_` is undefined for float32
  std::vector<OrderedSum> sums_;
};

}  // namespace cifar

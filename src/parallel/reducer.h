// Sums over all ranks what the shards of a step left in state.reduced(): gradients, metrics and
// batch-norm's statistics. A step calls, on every rank,
//
//   begin()                                   zeroes state.reduced()
//   for each shard that the rank owns, empty ones too: before_backward(last), after_shard(shard)
//   finish()                                  state.reduced() then holds the sum, on every rank
//
// Two bodies: overlapped (while backward runs, in whatever order the communicator adds) and ordered
// (in one order, whichever rank holds which shard).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "parallel/flat_state.h"

namespace cifar {

class Reducer {
 public:
  virtual ~Reducer() = default;

  virtual void begin() = 0;
  // `last`: this rank computes no other shard in this step. Not called for an empty shard.
  virtual void before_backward(bool last) = 0;
  virtual void after_shard(int64_t shard) = 0;
  virtual void finish() = 0;
};

// `kind`: overlapped | ordered. Error(kUsage) for ordered with more ranks than shards.
std::unique_ptr<Reducer> make_reducer(const std::string& kind, Communicator& comm,
                                      const FlatState& state, int64_t shards);

}  // namespace cifar

// Sums over all ranks what the shards of a step left in state.reduced(): gradients, metrics and
// batch-norm's statistics. A step calls, on every rank,
//
//   begin()         zeroes state.rest()
//   for each shard that the rank owns, empty ones too:
//     writes_next()              whether the shard's gradients are to be written over what is in
//                                state.gradients(), zeros if it is empty, or else added to it
//     before_backward(last)
//     after_shard(shard)
//   finish()        state.reduced() then holds the sum, on every rank; a rank without shards adds
//                   zeros to it
//
// state.reduced() and its views may have other memory after after_shard() and finish(): keep
// tensors, not addresses.
//
// Two bodies: overlapped (while backward runs, in whatever order the communicator adds) and ordered
// (in one order, whichever rank holds which shard).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "config/config.h"
#include "parallel/flat_state.h"

namespace cifar {

class Reducer {
 public:
  virtual ~Reducer() = default;

  virtual void begin() = 0;
  virtual bool writes_next() const = 0;
  // `last`: this rank computes no other shard in this step. Not called for an empty shard.
  virtual void before_backward(bool last) = 0;
  virtual void after_shard(int64_t shard) = 0;
  virtual void finish() = 0;
  // For people: "overlapped, 3 buckets".
  virtual std::string text() const = 0;
};

// Sets bucket_kib where it is left open, to what suits sums over these ranks by measurement, alike
// on all of them: every rank calls it, before a run begins. What was in state.reduced() is lost.
void choose_buckets(TrainConfig& config, Communicator& comm, const FlatState& state);

// As config's reduction, shards, reduction_precision and bucket_kib (0: one bucket) say.
// Error(kUsage) for ordered with more ranks than shards.
std::unique_ptr<Reducer> make_reducer(const TrainConfig& config, Communicator& comm,
                                      const FlatState& state);

}  // namespace cifar

// What a network says of every image of a split. No image is padded or dropped. The split is cut
// into fixed blocks, so that the result is the same bits whichever ranks computed them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "data/batches.h"
#include "model/network.h"
#include "train/precision.h"

namespace cifar {

struct Prediction {
  int64_t label = 0;
  int64_t guess = 0;       // the class with the largest logit
  double probability = 0;  // of the guess
  double loss = 0;         // cross-entropy

  bool right() const { return guess == label; }
};

// The first `samples` samples of the order of `batches`, in that order. `how`: "sharded", the
// blocks are divided over the ranks; "rank0", rank 0 computes them all while the others wait. Every
// rank calls it and gets all.
std::vector<Prediction> predict(Network& network, Batches& batches, int64_t samples,
                                const std::string& how, const Precision& precision,
                                Communicator& comm);

// Images of class i that were taken for class j.
struct Confusion {
  explicit Confusion(const std::vector<Prediction>& predictions);

  int64_t samples(int64_t label) const;
  int64_t right(int64_t label) const { return counts[label][label]; }
  // 0 for a class without images.
  double accuracy(int64_t label) const;
  // What images of this class are wrongly taken for most often; -1: nothing.
  int64_t most_frequent_mistake(int64_t label) const;

  std::array<std::array<int64_t, kClasses>, kClasses> counts = {};
};

// Places of the wrong predictions that have the highest probabilities, the surest first, of equal
// ones the first; at most `most`.
std::vector<size_t> confident_mistakes(const std::vector<Prediction>& predictions, size_t most);

}  // namespace cifar

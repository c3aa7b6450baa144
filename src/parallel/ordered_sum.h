// Adds what the shards of a step left in a tensor, in the order of one binary tree over all of them
// (summation_tree.h), so that the sum has the same bits on any number of ranks. Every sum is
// rounded to the tensor's type, wherever it is taken.
//
// A rank adds what it can of its own shards while they are computed, whole subtrees. The
// tensor is then cut into as many chunks as there are ranks: each rank gets its chunk of every
// subtree, adds them in the tree's order, and hands the result to all. Where each rank holds one
// subtree (S a power of two, a rank count that divides it) these are the bytes of a ring
// all-reduce.
//
// On the CPU subtrees are put aside and brought back without a copy: the tensor, with all its
// views, changes its memory.
#pragma once

#include <vector>

#include "base/range.h"
#include "comm/communicator.h"
#include "parallel/summation_tree.h"

namespace cifar {

class OrderedSum {
 public:
  OrderedSum(Communicator& comm, torch::Tensor tensor, int64_t shards);

  void begin();
  // Takes the shard's part, which is in the tensor. True if the tensor is free for the next one's;
  // the last one's may stay where it is.
  bool after_shard(int64_t shard);
  // The tensor then holds the sum, on every rank.
  void finish();

 private:
  using Sum = TreeSum<torch::Tensor>;

  void add(torch::Tensor& left, torch::Tensor& right);
  torch::Tensor take_spare();
  // What is in the tensor, in another one; the tensor is free then.
  torch::Tensor put_aside();
  // The tensor gets what all shards of this rank made, if that is one subtree and takes no copy.
  void take_back();
  Range chunk_of(int rank) const;
  // This rank's chunk, summed over all subtrees of all ranks; in its place if part of it is there.
  torch::Tensor sum_into(const torch::Tensor& place);
  void gather_chunks();

  Communicator& comm_;
  torch::Tensor tensor_;
  int64_t shards_;
  Range mine_;                                // the shards of this rank
  std::vector<std::vector<TreeNode>> nodes_;  // by rank: the subtrees that it sends
  torch::Tensor incoming_;                    // [subtrees of the others, length of this chunk]
  Sum sum_;
  std::vector<torch::Tensor> spare_;  // as long as tensor_, for subtrees that wait for a sibling
};

}  // namespace cifar

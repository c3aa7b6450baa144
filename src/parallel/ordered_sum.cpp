#include "parallel/ordered_sum.h"

#include <utility>

#include "parallel/shards.h"

namespace cifar {

OrderedSum::OrderedSum(Communicator& comm, torch::Tensor tensor, int64_t shards)
    : comm_(comm),
      tensor_(std::move(tensor)),
      shards_(shards),
      mine_(part_of(shards, comm.size(), comm.rank())),
      sum_(shards) {
  int64_t others = 0;
  for (int rank = 0; rank < comm.size(); ++rank) {
    nodes_.push_back(subtrees_of(part_of(shards, comm.size(), rank), shards));
    if (rank != comm.rank()) others += static_cast<int64_t>(nodes_.back().size());
  }
  incoming_ = torch::empty({others, chunk_of(comm.rank()).count}, tensor_.options());
}

void OrderedSum::begin() {
  sum_ = Sum(shards_);
}

bool OrderedSum::after_shard(int64_t shard) {
  torch::NoGradGuard no_grad;
  const auto add_siblings = [this](torch::Tensor& left, torch::Tensor& right) { add(left, right); };
  sum_.push({0, shard}, tensor_, add_siblings);
  if (shard + 1 == mine_.end()) return false;
  torch::Tensor& newest = sum_.back();
  if (newest.is_same(tensor_)) newest = take_spare().copy_(tensor_);
  return true;
}

void OrderedSum::add(torch::Tensor& left, torch::Tensor& right) {
  left.add_(right);
  if (!right.is_same(tensor_)) spare_.push_back(right);
}

torch::Tensor OrderedSum::take_spare() {
  if (spare_.empty()) return torch::empty_like(tensor_);
  torch::Tensor taken = std::move(spare_.back());
  spare_.pop_back();
  return taken;
}

Range OrderedSum::chunk_of(int rank) const {
  return part_of(tensor_.numel(), comm_.size(), rank);
}

void OrderedSum::finish() {
  torch::NoGradGuard no_grad;
  const Range chunk = chunk_of(comm_.rank());
  const torch::Tensor place = tensor_.narrow(0, chunk.first, chunk.count);
  const torch::Tensor sum = sum_of_chunk();
  if (sum.data_ptr() != place.data_ptr()) place.copy_(sum);
  for (const auto& entry : sum_.entries()) {
    if (!entry.value.is_same(tensor_)) spare_.push_back(entry.value);
  }
  gather_chunks();
}

torch::Tensor OrderedSum::sum_of_chunk() {
  std::vector<Message> sends, receives;
  Sum sum(shards_);
  std::vector<Sum::Entry> parts;  // of this rank's chunk, from the leftmost shards on
  int64_t row = 0;
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const Range chunk = chunk_of(rank);
    for (const auto& [node, value] : sum_.entries()) {
      const torch::Tensor part = value.narrow(0, chunk.first, chunk.count);
      if (rank == comm_.rank()) {
        parts.push_back({node, part});
      } else {
        sends.push_back({part, rank});
      }
    }
    if (rank == comm_.rank()) continue;
    for (const TreeNode& node : nodes_[rank]) {
      receives.push_back({incoming_[row], rank});
      parts.push_back({node, incoming_[row++]});
    }
  }
  comm_.exchange(sends, receives);
  for (const auto& [node, part] : parts) {
    sum.push(node, part, [](torch::Tensor& left, torch::Tensor& right) { left.add_(right); });
  }
  TORCH_INTERNAL_ASSERT(sum.entries().size() == 1);
  return sum.entries().front().value;
}

void OrderedSum::gather_chunks() {
  std::vector<Message> sends, receives;
  const Range mine = chunk_of(comm_.rank());
  for (int rank = 0; rank < comm_.size(); ++rank) {
    if (rank == comm_.rank()) continue;
    const Range theirs = chunk_of(rank);
    sends.push_back({tensor_.narrow(0, mine.first, mine.count), rank});
    receives.push_back({tensor_.narrow(0, theirs.first, theirs.count), rank});
  }
  comm_.exchange(sends, receives);
}

}  // namespace cifar

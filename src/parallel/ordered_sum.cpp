#include "parallel/ordered_sum.h"

#include <utility>

#include "parallel/shards.h"

namespace cifar {
namespace {

// Whether all of a storage is this tensor's, in memory that nothing but tensors points to: a
// device's is known to its graphs and to NCCL by address; on the CPU no communicator wants it to
// lie anywhere (Communicator::allocate()).
bool can_move(const torch::Tensor& tensor) {
  return tensor.is_cpu() && tensor.nbytes() == tensor.storage().nbytes();
}

// So that all views of either tensor see what was in the other.
void swap_memory(const torch::Tensor& a, const torch::Tensor& b) {
  const c10::Storage &first = a.storage(), &second = b.storage();
  second.set_data_ptr(first.set_data_ptr(second.set_data_ptr({})));
}

}  // namespace

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
  if (newest.is_same(tensor_)) newest = put_aside();
  return true;
}

torch::Tensor OrderedSum::put_aside() {
  const torch::Tensor spare = take_spare();
  if (!can_move(tensor_)) return spare.copy_(tensor_);
  swap_memory(spare, tensor_);
  return spare;
}

void OrderedSum::take_back() {
  if (sum_.entries().size() != 1 || !can_move(tensor_)) return;
  torch::Tensor& only = sum_.back();
  if (only.is_same(tensor_)) return;
  swap_memory(only, tensor_);
  spare_.push_back(std::exchange(only, tensor_));
}

void OrderedSum::add(torch::Tensor& left, torch::Tensor& right) {
  left.add_(right);
  if (!right.is_same(tensor_)) spare_.push_back(right);
}

torch::Tensor OrderedSum::take_spare() {
  if (spare_.empty()) return torch::zeros_like(tensor_);  // the gaps between parameters, too
  torch::Tensor taken = std::move(spare_.back());
  spare_.pop_back();
  return taken;
}

Range OrderedSum::chunk_of(int rank) const {
  return part_of(tensor_.numel(), comm_.size(), rank);
}

void OrderedSum::finish() {
  torch::NoGradGuard no_grad;
  take_back();
  const Range chunk = chunk_of(comm_.rank());
  const torch::Tensor place = tensor_.narrow(0, chunk.first, chunk.count);
  const torch::Tensor sum = sum_into(place);
  if (sum.data_ptr() != place.data_ptr()) place.copy_(sum);
  for (const auto& entry : sum_.entries()) {
    if (!entry.value.is_same(tensor_)) spare_.push_back(entry.value);
  }
  gather_chunks();
}

torch::Tensor OrderedSum::sum_into(const torch::Tensor& place) {
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
    sum.push(node, part, [&place](torch::Tensor& left, torch::Tensor& right) {
      if (right.const_data_ptr() == place.const_data_ptr()) std::swap(left, right);
      left.add_(right);
    });
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

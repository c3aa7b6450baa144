#include "parallel/buckets.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace cifar {

std::vector<Bucket> buckets_of(const FlatState& state, int64_t elements, bool rest_apart) {
  const auto& entries = state.parameter_entries();
  const size_t never = entries.size();
  std::vector<Bucket> buckets;
  int64_t end = state.reduced().numel();
  Bucket next = {{}, {}, never};
  const auto close = [&](int64_t first) {
    next.elements = {first, end - first};
    buckets.push_back(std::exchange(next, {{}, {}, never}));
    end = first;
  };
  if (rest_apart) close(state.gradients().numel());
  for (size_t i = entries.size(); i-- > 0;) {
    if (entries[i].tensor.requires_grad()) {
      next.parameters.push_back(i);
      next.earliest = std::min(next.earliest, entries[i].place);
    }
    if (i == 0 || end - entries[i].offset >= elements) close(entries[i].offset);
  }
  std::ranges::stable_sort(buckets, std::ranges::greater(), &Bucket::earliest);
  return buckets;
}

}  // namespace cifar

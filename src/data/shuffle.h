// Fisher-Yates (Durstenfeld, CACM 7(7), 1964) with counter-based draws.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.h"

namespace cifar {

// `word_at(position)` gives the 32 random bits of a position; positions go from size - 1 down to 1.
template <typename WordAt>
void shuffle(std::vector<int32_t>& items, WordAt word_at) {
  for (size_t i = items.size(); i-- > 1;) {
    const auto position = static_cast<uint32_t>(i);
    std::swap(items[i], items[below(word_at(position), position + 1)]);
  }
}

}  // namespace cifar

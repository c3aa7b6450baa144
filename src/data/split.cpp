#include "data/split.h"

#include <fmt/format.h>

#include <numeric>

#include "base/error.h"
#include "data/shuffle.h"

namespace cifar {

Split split_train(int64_t images, int64_t validation_size, uint64_t seed) {
  if (validation_size < 0 || validation_size >= images) {
    throw Error(ExitCode::kUsage, "data.validation_size", fmt::to_string(validation_size),
                fmt::format("0 to {}, fewer than the {} images", images - 1, images));
  }
  std::vector<int32_t> order(images);
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, [seed](uint32_t i) { return draw(seed, Purpose::kSplit, i).word[0]; });
  const auto border = order.end() - validation_size;
  return {{order.begin(), border}, {border, order.end()}};
}

}  // namespace cifar

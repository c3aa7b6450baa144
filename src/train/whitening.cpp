#include "train/whitening.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace cifar {
namespace {

constexpr int64_t kBlockNumbers = int64_t{1} << 21;  // of patches at a time: 16 MiB in float64

// [n, C, H, W] -> float64 [n * windows, C * kernel * kernel], a patch in the order of a filter.
torch::Tensor patches_of(const torch::Tensor& images, int64_t kernel) {
  return images.to(torch::kFloat64)
      .unfold(2, kernel, 1)
      .unfold(3, kernel, 1)
      .permute({0, 2, 3, 1, 4, 5})
      .reshape({-1, images.size(1) * kernel * kernel});
}

// The mean of patch x patch^T over all patches of the images in `order`.
torch::Tensor second_moment(Batches& batches, int64_t images, int64_t kernel,
                            torch::Device device) {
  const int64_t length = kChannels * kernel * kernel, row = kImageSize - kernel + 1;
  const int64_t windows = row * row;
  const int64_t block = std::max<int64_t>(1, kBlockNumbers / (windows * length));
  auto sum = torch::zeros({length, length}, torch::dtype(torch::kFloat64).device(device));
  for (int64_t first = 0; first < images; first += block) {
    const Batch batch = batches.get(first, std::min(block, images - first));
    const torch::Tensor patches = patches_of(batch.images.to(device), kernel);
    sum.addmm_(patches.t(), patches);
  }
  return sum / static_cast<double>(images * windows);
}

// Each column or its negative, by the rule of the header.
torch::Tensor with_definite_signs(const torch::Tensor& vectors) {
  const torch::Tensor sizes = vectors.abs();
  const torch::Tensor large = sizes >= 0.5 * sizes.amax(0, /*keepdim=*/true);
  const torch::Tensor first = large.to(torch::kInt8).argmax(0, /*keepdim=*/true);  // of equal ones
  return vectors * vectors.gather(0, first).sign();
}

}  // namespace

void whiten(Network& network, const std::shared_ptr<const ResidentSet>& set,
            const std::vector<int32_t>& train, const AugmentationConfig& normalisation) {
  const std::optional<Whitening> whitening = network.whitening();
  if (!whitening) return;
  const auto [weight, images, epsilon] = *whitening;
  if (images > static_cast<int64_t>(train.size())) {
    throw Error(ExitCode::kUsage, "layer 0 (\"whiten\")", fmt::format("images {}", images),
                fmt::format("at most {}, the images of the train split", train.size()));
  }
  const torch::NoGradGuard no_grad;
  std::vector<int32_t> order(images);
  std::partial_sort_copy(train.begin(), train.end(), order.begin(), order.end());
  Batches batches(set, normalisation, /*augment=*/false, /*seed=*/0);
  batches.set_order(order, 0);
  // A small problem: on the host, also beside a GPU.
  const auto [values, vectors] = torch::linalg_eigh(
      second_moment(batches, images, weight.size(2), weight.device()).cpu(), "L");
  const torch::Tensor scaled =
      with_definite_signs(vectors) / (values.clamp_min(0) + epsilon).sqrt();  // column by column
  const torch::Tensor filters = scaled.flip(1).t();                           // eigenvalues ascend
  weight.copy_(torch::cat({filters, -filters}).view(weight.sizes()));
}

}  // namespace cifar

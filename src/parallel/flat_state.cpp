#include "parallel/flat_state.h"

#include <algorithm>
#include <numeric>

#include "base/hash.h"

namespace cifar {
namespace {

constexpr int64_t kAlignment = 16;  // elements: 64 bytes
constexpr int64_t kMetrics = 4;

// Lays `tensors` out one behind the other, group by group; `total` becomes the length of the flat
// tensor.
template <typename Named>
std::vector<FlatEntry> lay_out(const Named& tensors, int64_t& total,
                               const std::vector<size_t>& groups = {}) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (!groups.empty()) {
    std::ranges::stable_sort(order, {}, [&](size_t i) { return groups.at(i); });
  }
  std::vector<FlatEntry> entries;
  total = 0;
  for (const size_t i : order) {
    entries.push_back({tensors[i].key(), tensors[i].value(), total, tensors[i].value().numel(), i});
    total += (tensors[i].value().numel() + kAlignment - 1) / kAlignment * kAlignment;
  }
  return entries;
}

// Convolution weights in channels_last order, everything else as it is.
torch::Tensor view_of(const torch::Tensor& flat, const torch::Tensor& like, int64_t offset) {
  if (like.dim() != 4) return flat.narrow(0, offset, like.numel()).view(like.sizes());
  const auto o = like.size(0), i = like.size(1), h = like.size(2), w = like.size(3);
  return flat.narrow(0, offset, like.numel()).view({o, h, w, i}).permute({0, 3, 1, 2});
}

// Points each tensor at its place in `flat`, its value copied there first.
void move_into(const torch::Tensor& flat, std::vector<FlatEntry>& entries) {
  for (FlatEntry& entry : entries) {
    auto view = view_of(flat, entry.tensor, entry.offset);
    view.copy_(entry.tensor);
    entry.tensor.set_data(view);
  }
}

}  // namespace

FlatState::FlatState(torch::nn::Module& network, torch::Device device,
                     const std::vector<size_t>& groups, Communicator* comm) {
  torch::NoGradGuard no_grad;
  const auto options = torch::TensorOptions(torch::kFloat32).device(device);
  int64_t length = 0, buffer_length = 0;
  parameter_entries_ = lay_out(network.named_parameters(), length, groups);
  buffer_entries_ = lay_out(network.named_buffers(), buffer_length);
  parameters_ = torch::zeros({length}, options);
  const int64_t reduced = length + kMetrics + buffer_length;
  reduced_ = comm ? comm->allocate(reduced, options) : torch::zeros({reduced}, options);
  gradients_ = reduced_.narrow(0, 0, length);
  metrics_ = reduced_.narrow(0, length, kMetrics);
  buffer_sums_ = reduced_.narrow(0, length + kMetrics, buffer_length);
  buffers_ = torch::zeros({buffer_length}, options);
  move_into(parameters_, parameter_entries_);
  move_into(buffers_, buffer_entries_);
  for (FlatEntry& entry : parameter_entries_) {
    if (!entry.tensor.requires_grad()) continue;
    entry.tensor.mutable_grad() = view_of(gradients_, entry.tensor, entry.offset);
  }
}

std::string FlatState::hash() const {
  Hasher hasher;
  const auto add = [&](const std::vector<FlatEntry>& entries) {
    for (const FlatEntry& entry : entries) {
      // Logical (contiguous) order, so that the hash does not depend on how a kernel wants it laid.
      const auto values = entry.tensor.detach().cpu().contiguous();
      hasher.update(entry.name.data(), entry.name.size());
      hasher.update(values.sizes().data(), values.sizes().size() * sizeof(int64_t));
      hasher.update(values.const_data_ptr<float>(), values.nbytes());
    }
  };
  add(parameter_entries_);
  add(buffer_entries_);
  return hasher.digest();
}

torch::Tensor view_like(const torch::Tensor& flat, const FlatEntry& entry) {
  return view_of(flat, entry.tensor, entry.offset);
}

}  // namespace cifar

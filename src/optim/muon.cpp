#include "optim/muon.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "base/error.h"

namespace cifar {
namespace {

struct MuonScalars {
  float learning_rate;
  float normalise;  // 1: weights are scaled before this update; 0: they are not
};

// A weight as a matrix, [rows, columns] of the flat tensors.
struct Matrix {
  int64_t offset, rows, columns;

  torch::Tensor of(const torch::Tensor& flat) const {
    return flat.narrow(0, offset, rows * columns).view({rows, columns});
  }
};

// Matrices whose products are computed together, each at the upper left of its part of a stack of
// zeros, laid on its side where it is tall. The zeros stay zeros.
struct Stack {
  std::vector<Matrix> matrices;
  torch::Tensor values;
  int rank = 0;  // that computes them, where they are divided

  int64_t shorter() const {
    return most([](const Matrix& it) { return std::min(it.rows, it.columns); });
  }
  int64_t longer() const {
    return most([](const Matrix& it) { return std::max(it.rows, it.columns); });
  }

  torch::Tensor part_of(const torch::Tensor& stack, size_t i) const {
    const Matrix& matrix = matrices[i];
    const int64_t shorter = std::min(matrix.rows, matrix.columns);
    const int64_t longer = std::max(matrix.rows, matrix.columns);
    const auto part = stack[static_cast<int64_t>(i)].narrow(0, 0, shorter).narrow(1, 0, longer);
    return matrix.rows > matrix.columns ? part.t() : part;
  }

 private:
  template <class Of>
  int64_t most(const Of& of) const {
    return of(*std::ranges::max_element(matrices, {}, of));
  }
};

class Muon final : public Optimizer {
 public:
  Muon(const OptimizerConfig& config, const OptimizerSlice& slice)
      : config_(config),
        product_type_(slice.product_type),
        comm_(config.newton_schulz == "divided" ? slice.comm : nullptr),
        momentum_buffer_(torch::zeros_like(slice.parameters)),
        updates_(torch::zeros_like(slice.parameters)) {
    if (config.weight_decay != 0) {
      throw Error(ExitCode::kUsage, "optimizer.weight_decay",
                  fmt::format("{} with muon", config.weight_decay), "0; muon has no decay");
    }
    for (const OptimizerTensor& tensor : slice.tensors) add(tensor);
    for (Stack& stack : stacks_) {
      stack.values = torch::zeros(
          {static_cast<int64_t>(stack.matrices.size()), stack.shorter(), stack.longer()},
          slice.parameters.options().dtype(product_type_));
    }
    if (comm_ != nullptr) divide();
  }

  int64_t scalar_bytes() const override { return sizeof(MuonScalars); }

  void write_scalars(int64_t update, double learning_rate, void* out) const override {
    const bool due = config_.normalise_every > 0 && (update - 1) % config_.normalise_every == 0;
    *static_cast<MuonScalars*>(out) = {static_cast<float>(learning_rate),
                                       due && learning_rate > 0 ? 1.0f : 0.0f};
  }

  void apply(torch::Tensor parameters, const torch::Tensor& gradients,
             const torch::Tensor& scalars) override {
    torch::NoGradGuard no_grad;
    const torch::Tensor now = scalars.view(torch::kFloat32);
    momentum_buffer_.mul_(config_.momentum).add_(gradients);
    const torch::Tensor direction =
        config_.nesterov ? gradients.add(momentum_buffer_, config_.momentum) : momentum_buffer_;
    for (const Stack& stack : stacks_) {
      if (comm_ == nullptr || stack.rank == comm_->rank()) orthogonalise(stack, direction);
    }
    if (comm_ != nullptr) share();
    if (config_.normalise_every > 0) {
      for_each_matrix([&](const Matrix& it) { normalise(it.of(parameters), now[1]); });
    }
    parameters.sub_(updates_.mul_(now[0]));
  }

  std::vector<std::pair<std::string, torch::Tensor>> state() const override {
    return {{"momentum_buffer", momentum_buffer_}};
  }

 private:
  void add(const OptimizerTensor& tensor) {
    const int64_t rows = tensor.sizes.empty() ? 1 : tensor.sizes.front();
    const int64_t columns = c10::multiply_integers(tensor.sizes) / rows;
    if (tensor.sizes.size() < 2 || std::min(rows, columns) < 2) {
      throw Error(ExitCode::kUsage, "optimizer.parameters: " + tensor.name,
                  fmt::format("{} for muon", c10::str(c10::IntArrayRef(tensor.sizes))),
                  "weights of convolutions and linear layers; another optimizer for this one");
    }
    const auto takes = [&](const Stack& it) {
      const Matrix& first = it.matrices.front();
      const bool alike = first.rows == rows && first.columns == columns;
      return config_.newton_schulz == "padded" || (config_.newton_schulz == "by-shape" && alike);
    };
    auto stack = std::ranges::find_if(stacks_, takes);
    if (stack == stacks_.end()) stack = stacks_.insert(stacks_.end(), Stack{});
    stack->matrices.push_back({tensor.offset, rows, columns});
  }

  // The costliest first, each to the rank that has the least to do.
  void divide() {
    std::vector<Stack*> order;
    for (Stack& stack : stacks_) order.push_back(&stack);
    const auto cost = [](const Stack* it) { return it->shorter() * it->shorter() * it->longer(); };
    std::ranges::stable_sort(order, std::ranges::greater(), cost);
    std::vector<int64_t> loads(comm_->size());
    for (Stack* stack : order) {
      const auto least = std::ranges::min_element(loads);
      *least += cost(stack);
      stack->rank = static_cast<int>(least - loads.begin());
    }
  }

  template <class Visit>
  void for_each_matrix(const Visit& visit) const {
    for (const Stack& stack : stacks_) std::ranges::for_each(stack.matrices, visit);
  }

  // Writes the matrices' updates.
  void orthogonalise(const Stack& stack, const torch::Tensor& direction) const {
    for (size_t i = 0; i < stack.matrices.size(); ++i) {
      stack.part_of(stack.values, i).copy_(stack.matrices[i].of(direction));
    }
    const torch::Tensor found = newton_schulz(stack.values, config_.newton_schulz_steps);
    for (size_t i = 0; i < stack.matrices.size(); ++i) {
      stack.matrices[i].of(updates_).copy_(stack.part_of(found, i));
    }
  }

  // Brings every rank the updates that others computed.
  void share() const {
    std::vector<Message> sends, receives;
    for (const Stack& stack : stacks_) {
      const torch::Tensor update = stack.matrices.front().of(updates_);
      if (stack.rank != comm_->rank()) {
        receives.push_back({update, stack.rank});
        continue;
      }
      for (int peer = 0; peer < comm_->size(); ++peer) {
        if (peer != comm_->rank()) sends.push_back({update, peer});
      }
    }
    comm_->exchange(sends, receives);
  }

  // To norm sqrt(rows), where `due` (a scalar on the device) is 1.
  static void normalise(torch::Tensor weight, const torch::Tensor& due) {
    const auto factor = std::sqrt(static_cast<double>(weight.size(0))) / weight.norm();
    weight.mul_((factor - 1) * due + 1);
  }

  OptimizerConfig config_;
  torch::ScalarType product_type_;
  Communicator* comm_;  // where the stacks are divided over its ranks; else null
  torch::Tensor momentum_buffer_;
  torch::Tensor updates_;  // of all matrices, before the rate; zeros in the gaps
  std::vector<Stack> stacks_;
};

}  // namespace

torch::Tensor newton_schulz(torch::Tensor matrices, int64_t steps) {
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  const bool tall = matrices.size(1) > matrices.size(2);
  torch::Tensor x = tall ? matrices.transpose(1, 2) : matrices;
  x = x / (x.norm(2, {1, 2}, /*keepdim=*/true) + 1e-7);
  for (int64_t step = 0; step < steps; ++step) {
    const torch::Tensor a = torch::bmm(x, x.transpose(1, 2));
    x = torch::baddbmm(x, torch::baddbmm(a, a, a, kB, kC), x, kA, 1);
  }
  return tall ? x.transpose(1, 2) : x;
}

std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config, const OptimizerSlice& slice) {
  return std::make_unique<Muon>(config, slice);
}

}  // namespace cifar

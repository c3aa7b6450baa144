#include "model/block.h"

#include <ATen/core/ivalue.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/grad_mode.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <utility>

#include "model/conv_block.h"
#include "model/linear_block.h"

namespace cifar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Blocks = std::vector<std::shared_ptr<Block>>;

// [batch][height][width][channels], or [batch][features]: as the kernels read and write.
at::MemoryFormat order_of(const torch::Tensor& tensor) {
  return tensor.dim() == 4 ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
}

bool is_trained(const torch::Tensor& parameter) {
  return parameter.defined() && parameter.requires_grad();
}

// Memory for the gradient of a parameter, which may be undefined: its grad() itself where a kernel
// may write there. That of a frozen one is written all the same, and lost.
class GradientPlace {
 public:
  GradientPlace(torch::Tensor parameter, Gradients how) : parameter_(std::move(parameter)) {
    if (!parameter_.defined()) return;
    const auto order = order_of(parameter_);
    torch::Tensor& gradient = parameter_.mutable_grad();
    if (is_trained(parameter_)) {
      adds_ = gradient.defined() && how == Gradients::kAdd;
      if (!gradient.defined()) gradient = torch::empty_like(parameter_, order);
      if (!adds_ && gradient.is_contiguous(order)) memory_ = gradient;
    }
    if (!memory_.defined()) memory_ = torch::empty_like(parameter_, order);
  }

  const torch::Tensor& memory() const { return memory_; }

  // The kernel has written it.
  void deliver() const {
    if (!is_trained(parameter_)) return;
    for (const auto& hook : torch::autograd::impl::hooks(parameter_)) {
      memory_.copy_((*hook)({memory_}).front());
    }
    const torch::Tensor& gradient = parameter_.grad();
    if (adds_) {
      gradient.add_(memory_);
    } else if (!gradient.is_same(memory_)) {
      gradient.copy_(memory_);
    }
    const auto& hook = torch::autograd::impl::post_acc_grad_hooks(parameter_);
    if (hook) (*hook)(parameter_);
  }

 private:
  torch::Tensor parameter_, memory_;
  bool adds_ = false;
};

// What a run's forward passes leave for the backward one.
struct Records : torch::CustomClassHolder {
  struct Record {
    std::shared_ptr<const Block> block;
    BlockPass pass;
  };
  std::vector<Record> all;
  Gradients how = Gradients::kAdd;
};

// Over what was packed before, unless a backward pass is yet to read that.
void pack(Block& block, uint64_t number) {
  if (number != 0 && number == block.packed_of) return;
  const torch::Tensor weight = block.weight.contiguous(order_of(block.weight));
  std::visit(
      [&](const auto& of) {
        if (!block.packed.defined() || block.packed.use_count() > 1) {
          block.packed = torch::zeros({packed_weights_size(of)}, weight.options());
        }
        pack_weights(of, weight.const_data_ptr<float>(), block.packed.mutable_data_ptr<float>());
      },
      block.shape);
  block.packed_of = number;
}

torch::Tensor forward(Block& block, BlockPass& pass, uint64_t number, bool winners) {
  RECORD_USER_SCOPE(block.text);
  pack(block, number);
  pass.packed = block.packed;
  return std::visit([&](const auto& of) { return run_forward(of, pass, block.bias, winners); },
                    block.shape);
}

// The gradient by the block's input, undefined unless asked for.
torch::Tensor backward(const Block& block, const BlockPass& pass, const torch::Tensor& gradient,
                       Gradients how, bool with_input) {
  RECORD_USER_SCOPE(block.text + ", backward");
  const GradientPlace weight(block.weight, how);
  const GradientPlace bias(is_trained(block.bias) ? block.bias : torch::Tensor(), how);
  const BlockGradients gradients = {gradient.contiguous(order_of(gradient)), weight.memory(),
                                    bias.memory(),
                                    with_input ? torch::empty_like(pass.input) : torch::Tensor()};
  std::visit([&](const auto& of) { run_backward(of, pass, gradients); }, block.shape);
  weight.deliver();
  bias.deliver();
  return gradients.input;
}

class RunBlocks : public torch::autograd::Function<RunBlocks> {
 public:
  // The second input requires a gradient, so that the output does; it gets none.
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor&, const Blocks& blocks, const Pass& pass) {
    auto records = c10::make_intrusive<Records>();
    records->how = pass.gradients;
    torch::Tensor images = input;
    for (const auto& block : blocks) {
      BlockPass& of = records->all.emplace_back(block, BlockPass{images, {}, {}}).pass;
      images = cifar::forward(*block, of, pass.weights, true);
    }
    context->saved_data["records"] = at::IValue::make_capsule(std::move(records));
    return images;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto capsule = context->saved_data["records"].toCapsule();
    auto& records = static_cast<Records&>(*capsule);
    TORCH_CHECK(!records.all.empty(), "backward a second time through a run of blocks");
    const bool input_needs = context->needs_input_grad(0);
    torch::Tensor gradient = gradients[0];
    while (!records.all.empty() && gradient.defined()) {
      const auto [block, pass] = std::move(records.all.back());
      records.all.pop_back();
      const bool needed = input_needs || std::ranges::any_of(records.all, [](const auto& earlier) {
                            return earlier.block->trains();
                          });
      gradient = cifar::backward(*block, pass, gradient, records.how, needed);
    }
    return {gradient, {}, {}, {}};
  }
};

}  // namespace

bool Block::trains() const {
  return is_trained(weight) || is_trained(bias);
}

bool Block::can_run() const {
  return weight.is_cpu() && weight.scalar_type() == torch::kFloat32;
}

bool Block::can_run(const torch::Tensor& input) const {
  return can_run() && input.is_cpu() && input.scalar_type() == torch::kFloat32 &&
         std::visit([&](const auto& of) { return fits(of, input); }, shape);
}

torch::Tensor run_blocks(const Blocks& blocks, const torch::Tensor& input, const Pass& pass) {
  torch::Tensor images = input.contiguous(order_of(input));
  const bool trains =
      std::ranges::any_of(blocks, [](const auto& block) { return block->trains(); });
  if (torch::autograd::GradMode::is_enabled() && (trains || images.requires_grad())) {
    // Not one of the parameters: autograd would call its hook once more.
    const torch::Tensor required = torch::empty({0}, torch::requires_grad());
    return RunBlocks::apply(images, required, blocks, pass);
  }
  for (const auto& block : blocks) {
    BlockPass of = {images, {}, {}};
    images = forward(*block, of, pass.weights, false);
  }
  return images;
}

}  // namespace cifar

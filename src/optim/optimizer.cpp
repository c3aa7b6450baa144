#include "optim/optimizer.h"

#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/instruction_sets.h"
#include "optim/muon.h"
#include "optim/update.h"

#if CIFAR_HAS_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "optim/update_kernels.h"
#endif

namespace cifar {
namespace {

CIFAR_FOR_EACH_ISA
void update_on_cpu(const AdamScalars scalars, int64_t size, float* __restrict parameters,
                   const float* __restrict gradients, float* __restrict exp_avg,
                   float* __restrict exp_avg_sq) {
  for (int64_t i = 0; i < size; ++i) {
    adam_update(scalars, parameters[i], gradients[i], exp_avg[i], exp_avg_sq[i]);
  }
}

CIFAR_FOR_EACH_ISA
void update_on_cpu(const SgdScalars scalars, int64_t size, float* __restrict parameters,
                   const float* __restrict gradients, float* __restrict momentum_buffer) {
  for (int64_t i = 0; i < size; ++i) {
    sgd_update(scalars, parameters[i], gradients[i], momentum_buffer[i]);
  }
}

// The one place that knows where the tensors are. `state` in the order of the update's arguments.
template <typename Scalars, typename... State>
void update(const torch::Tensor& scalar_bytes, const torch::Tensor& parameters,
            const torch::Tensor& gradients, const State&... state) {
  const auto* scalars = static_cast<const Scalars*>(scalar_bytes.const_data_ptr());
  const int64_t size = parameters.numel();
  for (const torch::Tensor& tensor : {parameters, gradients, state...}) {
    TORCH_CHECK(
        tensor.numel() == size && tensor.is_contiguous() && tensor.device() == parameters.device(),
        "an optimizer's tensors differ in length or device, or are not contiguous");
  }
#if CIFAR_HAS_CUDA
  if (parameters.is_cuda()) {
    C10_CUDA_CHECK(launch_update(c10::cuda::getCurrentCUDAStream(), scalars, size,
                                 parameters.data_ptr<float>(), gradients.data_ptr<float>(),
                                 state.template data_ptr<float>()...));
    return;
  }
#endif
  update_on_cpu(*scalars, size, parameters.data_ptr<float>(), gradients.data_ptr<float>(),
                state.template data_ptr<float>()...);
}

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerConfig& config, bool decoupled, const torch::Tensor& parameters)
      : config_(config),
        decoupled_(decoupled),
        exp_avg_(torch::zeros_like(parameters)),
        exp_avg_sq_(torch::zeros_like(parameters)) {}

  int64_t scalar_bytes() const override { return sizeof(AdamScalars); }

  void write_scalars(int64_t update, double learning_rate, void* out) const override {
    const double t = static_cast<double>(update);
    const double decay = config_.weight_decay;
    *static_cast<AdamScalars*>(out) = {
        .weight_decay = static_cast<float>(decoupled_ ? 0 : decay),
        .keep = static_cast<float>(decoupled_ ? 1 - learning_rate * decay : 1),
        .one_minus_beta1 = static_cast<float>(1 - config_.beta1),
        .beta2 = static_cast<float>(config_.beta2),
        .one_minus_beta2 = static_cast<float>(1 - config_.beta2),
        .step_size = static_cast<float>(learning_rate / (1 - std::pow(config_.beta1, t))),
        .root_correction = static_cast<float>(std::sqrt(1 - std::pow(config_.beta2, t))),
        .epsilon = static_cast<float>(config_.epsilon)};
  }

  void apply(torch::Tensor parameters, const torch::Tensor& gradients,
             const torch::Tensor& scalars) override {
    update<AdamScalars>(scalars, parameters, gradients, exp_avg_, exp_avg_sq_);
  }

  std::vector<std::pair<std::string, torch::Tensor>> state() const override {
    return {{"exp_avg", exp_avg_}, {"exp_avg_sq", exp_avg_sq_}};
  }

 private:
  OptimizerConfig config_;
  bool decoupled_;
  torch::Tensor exp_avg_;
  torch::Tensor exp_avg_sq_;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerConfig& config, const torch::Tensor& parameters)
      : config_(config), momentum_buffer_(torch::zeros_like(parameters)) {}

  int64_t scalar_bytes() const override { return sizeof(SgdScalars); }

  void write_scalars(int64_t, double learning_rate, void* out) const override {
    *static_cast<SgdScalars*>(out) = {.weight_decay = static_cast<float>(config_.weight_decay),
                                      .momentum = static_cast<float>(config_.momentum),
                                      .learning_rate = static_cast<float>(learning_rate),
                                      .nesterov = config_.nesterov};
  }

  void apply(torch::Tensor parameters, const torch::Tensor& gradients,
             const torch::Tensor& scalars) override {
    update<SgdScalars>(scalars, parameters, gradients, momentum_buffer_);
  }

  std::vector<std::pair<std::string, torch::Tensor>> state() const override {
    return {{"momentum_buffer", momentum_buffer_}};
  }

 private:
  OptimizerConfig config_;
  torch::Tensor momentum_buffer_;
};

}  // namespace

void Optimizer::step(torch::Tensor parameters, const torch::Tensor& gradients,
                     double learning_rate) {
  const auto scalars = torch::empty({scalar_bytes()}, torch::kUInt8);
  write_scalars(++steps_, learning_rate, scalars.mutable_data_ptr());
  apply(std::move(parameters), gradients, scalars.to(gradients.device()));
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerConfig& config,
                                          const OptimizerSlice& slice) {
  if (config.nesterov && config.momentum <= 0) {
    throw Error(ExitCode::kUsage, "optimizer.nesterov", "true without momentum",
                "optimizer.momentum above 0");
  }
  if (config.name == "adam") return std::make_unique<Adam>(config, false, slice.parameters);
  if (config.name == "adamw") return std::make_unique<Adam>(config, true, slice.parameters);
  if (config.name == "sgd") return std::make_unique<Sgd>(config, slice.parameters);
  if (config.name == "muon") return make_muon(config, slice);
  throw Error(ExitCode::kUsage, "optimizer.name", config.name, "adam, adamw, sgd or muon");
}

}  // namespace cifar

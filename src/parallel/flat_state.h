// All parameters of a network in one contiguous float32 tensor, all gradients in a second, all
// buffers in a third; the network's tensors become views into them. So the optimizer, the reduction
// and the broadcast each work on one tensor.
//
// Each tensor starts at a multiple of 64 bytes (cuDNN's tensor-core kernels and SIMD loads want
// aligned addresses); the gaps hold zeros for ever. Convolution weights lie as [out, h, w, in]
// (channels_last). Frozen parameters (no requires_grad) have no gradient, and zeros in its place.
// Behind the gradients lie the step's metrics and what the shards made of the buffers, so that they
// are reduced with them.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace cifar {

struct FlatEntry {
  std::string name;      // "3.weight"
  torch::Tensor tensor;  // the network's own: a view into the flat one
  int64_t offset;        // in elements
  int64_t size;          // in elements, without the gap behind
  size_t place = 0;      // among the network's own, in its order
};

class FlatState {
 public:
  // Moves the network's tensors to `device` and into the flat ones, values kept. `groups` has a
  // number for each of named_parameters(): those with the lower number come first, so that a group
  // is one slice; empty: one group. What is reduced lies where `comm` wants it; null: anywhere.
  FlatState(torch::nn::Module& network, torch::Device device,
            const std::vector<size_t>& groups = {}, Communicator* comm = nullptr);

  // float32 [n]; each of equal length, gaps included.
  const torch::Tensor& parameters() const { return parameters_; }
  const torch::Tensor& gradients() const { return gradients_; }
  const torch::Tensor& buffers() const { return buffers_; }  // may be empty
  // float32 [4]: the step's mean loss, its right answers, the ranks that were asked to stop, the
  // ranks that want a checkpoint after the step.
  const torch::Tensor& metrics() const { return metrics_; }
  // As long as buffers(): the mean over shards of the running statistics, as a sum.
  const torch::Tensor& buffer_sums() const { return buffer_sums_; }
  // Gradients, then the rest, metrics and buffer sums: what is reduced in a step.
  const torch::Tensor& reduced() const { return reduced_; }
  torch::Tensor rest() const {
    return reduced_.narrow(0, gradients_.numel(), reduced_.numel() - gradients_.numel());
  }

  const std::vector<FlatEntry>& parameter_entries() const { return parameter_entries_; }
  const std::vector<FlatEntry>& buffer_entries() const { return buffer_entries_; }

  // 32 hex digits over names, shapes and values of all parameters and buffers; waits for the
  // device.
  std::string hash() const;

 private:
  std::vector<FlatEntry> parameter_entries_, buffer_entries_;
  torch::Tensor parameters_, reduced_, gradients_, metrics_, buffer_sums_, buffers_;
};

// A view of `flat` with the shape and memory order of `entry`, for example into an optimizer's
// state.
torch::Tensor view_like(const torch::Tensor& flat, const FlatEntry& entry);

}  // namespace cifar

// Layers that the kernels of kernels/ run one behind another, as one operation of autograd.
//
// To autograd such a run has one input and one output. The gradients of its weights and biases do
// not pass through it: backward leaves each in its parameter's grad(), as the pass asks, with the
// parameter's hooks before and its post-accumulate-grad hook after, as LibTorch's AccumulateGrad
// does. (With a node for each block and parameter, and gradients zeroed, added and copied, a step
// with eight images a shard took 1.1 times as long on AVX-512.)
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "kernels/conv_block.h"
#include "kernels/linear.h"
#include "model/layer.h"

namespace cifar {

struct Block {
  std::variant<ConvBlock, LinearBlock> shape;
  torch::Tensor weight, bias;  // the network's own; bias may be undefined
  std::string text;            // for a profiler

  torch::Tensor packed;    // the weight as the kernels read it,
  uint64_t packed_of = 0;  // for passes of this number

  bool trains() const;
  // Whether the kernels take its weight: float32 on the CPU.
  bool can_run() const;
  // Whether they also take this input: float32 on the CPU, of the block's shape.
  bool can_run(const torch::Tensor& input) const;
};

// The blocks' output for `input`, which the first of them can run, as each the output of the one
// before. Images come out channels_last, and are best given so.
torch::Tensor run_blocks(const std::vector<std::shared_ptr<Block>>& blocks,
                         const torch::Tensor& input, const Pass& pass);

}  // namespace cifar

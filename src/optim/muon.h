// Muon (Keller Jordan et al., 2024, kellerjordan.github.io/posts/muon): SGD with momentum whose
// update, for each weight matrix, is replaced by the nearest orthogonal one, found approximately by
// Newton-Schulz iterations. A convolution's weight [outputs, inputs, k, k] counts as the matrix
// [outputs, inputs * k * k].
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "config/config.h"
#include "optim/optimizer.h"

namespace cifar {

// X <- X / (|X| + 1e-7), then `steps` times X <- 3.4445 X + (-4.7750 A + 2.0315 A^2) X with
// A = X X^T. float32 or bfloat16 [matrices, rows, columns]; of a tall matrix the transpose is
// taken, so that A is the smaller product. Singular values end near 1 (about 0.7 to 1.2 after 5
// steps).
torch::Tensor newton_schulz(torch::Tensor matrices, int64_t steps);

// newton_schulz says how: "by-shape", matrices of one shape go through the iterations as one stack,
// on every rank; "padded", all do, padded with zeros: fewer calls, more products, the same but for
// rounding (hiverge/cifar10-speedrun); "divided", each alone, on one of the slice's ranks,
// which then hand their updates round: the same bits on any number of ranks. Every tensor of the
// slice must be a matrix of at least 2 x 2, and the decay 0 (Error kUsage).
std::unique_ptr<Optimizer> make_muon(const OptimizerConfig& config, const OptimizerSlice& slice);

}  // namespace cifar

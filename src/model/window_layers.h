// The layers that slide a window over an image: convolution and pooling, made from their lines of
// the layer list (see layer.h for the grammar and the errors).
#pragma once

#include <memory>

#include "model/layer.h"
#include "model/layer_text.h"

namespace cifar {

std::shared_ptr<Layer> make_conv(LayerText& text);
std::shared_ptr<Layer> make_whiten(LayerText& text);
std::shared_ptr<Layer> make_pool(LayerText& text);

// torch.nn's default for convolutions and linear layers: weights Kaiming-uniform with a = sqrt(5),
// biases uniform within 1 / sqrt(fan in).
void initialise(torch::Tensor weight, torch::Tensor bias);

// Refuses a layer of so many `weights`, or of such an output, that one tensor of the network would
// have more than 2^31 - 1 numbers (8 GiB): beyond that, communication counts overflow.
void refuse_giants(const LayerText& text, double weights, const Shape& output);

}  // namespace cifar

// The layers that work on each value by itself: activations, scale and dropout, made from their
// lines of the layer list (see layer.h for the grammar and the errors).
#pragma once

#include <memory>

#include "model/layer.h"
#include "model/layer_text.h"

namespace cifar {

std::shared_ptr<Layer> make_relu(LayerText& text);
std::shared_ptr<Layer> make_gelu(LayerText& text);
std::shared_ptr<Layer> make_silu(LayerText& text);
std::shared_ptr<Layer> make_scale(LayerText& text);
std::shared_ptr<Layer> make_dropout(LayerText& text);

}  // namespace cifar

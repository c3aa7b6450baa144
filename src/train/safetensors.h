// Reads a safetensors file (github.com/huggingface/safetensors, "Format"): eight bytes with the
// length of a header, little-endian, a header of JSON, and the tensors' raw bytes, without holes
// and without overlaps. std::runtime_error says what is wrong.
#pragma once

#include <string_view>

#include "train/checkpoint.h"

namespace cifar {

// Whether it begins like one, sound or not.
bool is_safetensors(std::string_view bytes);

// The tensors in the types that they are stored in: integers, and floats of 16 bits or more.
NamedTensors read_safetensors(std::string_view bytes);

}  // namespace cifar

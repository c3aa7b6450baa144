// From the host's memory to where a tensor lies, without either side waiting for the other.
#pragma once

#include <torch/types.h>

namespace cifar {

// Copies to.nbytes() bytes from `from` into the contiguous tensor `to`; on a GPU ordered by the
// current stream. What lies at `from` may go on return.
void upload(const void* from, torch::Tensor to);

}  // namespace cifar

// The types of tensors that the communicators carry, for each library's own names of them, and for
// those that recipes know.
#pragma once

#include <torch/types.h>

#include <string>

#include "base/error.h"

namespace cifar {

// In which tensors of a recipe's precision (fp32, tf32, bf16, fp16) are kept.
inline torch::ScalarType scalar_type_of(const std::string& precision) {
  if (precision == "bf16") return torch::kBFloat16;
  return precision == "fp16" ? torch::kHalf : torch::kFloat32;
}

template <typename Type>
struct TensorTypes {
  Type float32, float64, float16, bfloat16, int64, uint8;

  // Error(kUsage) for any other.
  Type of(const torch::Tensor& tensor) const {
    switch (tensor.scalar_type()) {
      case torch::kFloat32:
        return float32;
      case torch::kFloat64:
        return float64;
      case torch::kHalf:
        return float16;
      case torch::kBFloat16:
        return bfloat16;
      case torch::kInt64:
        return int64;
      case torch::kUInt8:
        return uint8;
      default:
        throw Error(ExitCode::kUsage, "communicator", c10::toString(tensor.scalar_type()),
                    "float32, float64, float16, bfloat16, int64 or uint8");
    }
  }
};

}  // namespace cifar

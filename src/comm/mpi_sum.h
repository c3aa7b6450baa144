// The sum as MPI is to take it. MPI has no type for float16 and bfloat16: those travel as two bytes
// without meaning, and an operation of our own adds them, in float32, rounded after each addition.
#pragma once

#include <mpi.h>
#include <torch/types.h>

namespace cifar {

class MpiSum {
 public:
  // MPI must have begun, and not end before this.
  MpiSum() {
    MPI_Op_create(add<c10::Half>, /*commute=*/1, &halves_);
    MPI_Op_create(add<c10::BFloat16>, /*commute=*/1, &bfloats_);
  }
  ~MpiSum() {
    MPI_Op_free(&halves_);
    MPI_Op_free(&bfloats_);
  }
  MpiSum(const MpiSum&) = delete;
  MpiSum& operator=(const MpiSum&) = delete;

  MPI_Op of(const torch::Tensor& tensor) const {
    if (tensor.scalar_type() == torch::kHalf) return halves_;
    return tensor.scalar_type() == torch::kBFloat16 ? bfloats_ : MPI_SUM;
  }

 private:
  template <typename T>
  static void add(void* from, void* to, int* count, MPI_Datatype*) {
    const T* other = static_cast<const T*>(from);
    T* sum = static_cast<T*>(to);
    for (int i = 0; i < *count; ++i) sum[i] = other[i] + sum[i];
  }

  MPI_Op halves_ = MPI_OP_NULL, bfloats_ = MPI_OP_NULL;
};

}  // namespace cifar

// Filters [out][ky][row], where a row holds the kernel * in_channels values of one ky and is filled
// up with zeros to whole vectors: a copy, or the caller's own memory where rows already are whole.
#pragma once

#include "kernels/padded_image.h"

namespace cifar {

class Filters {
 public:
  static constexpr int64_t kWidest = 16;  // floats of the widest vector

  explicit Filters(const ConvBlock& block)
      : rows_(block.out_channels * block.kernel),
        length_(block.patch_row()),
        row_(round_up(length_, kWidest)) {
    if (row_ != length_) copy_ = make_floats(rows_ * row_);
  }

  int64_t row() const { return row_; }

  // The memory to work on, for filters that start as `given`.
  float* open(float* given) {
    if (!copy_) return given;
    for (int64_t i = 0; i < rows_; ++i) {
      std::memcpy(copy_.get() + i * row_, given + i * length_, sizeof(float) * length_);
    }
    return copy_.get();
  }

  // Writes back what was worked on.
  void close(float* given) const {
    if (!copy_) return;
    for (int64_t i = 0; i < rows_; ++i) {
      std::memcpy(given + i * length_, copy_.get() + i * row_, sizeof(float) * length_);
    }
  }

 private:
  int64_t rows_, length_, row_;
  Floats copy_;
};

}  // namespace cifar

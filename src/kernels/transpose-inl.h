// Transposition of matrices of bytes and of floats. Included once an instruction set.
#if defined(CIFAR_KERNELS_TRANSPOSE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CIFAR_KERNELS_TRANSPOSE_INL_H_
#undef CIFAR_KERNELS_TRANSPOSE_INL_H_
#else
#define CIFAR_KERNELS_TRANSPOSE_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace cifar {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR  // which has no vectors to transpose with

using D8 = hn::FixedTag<uint8_t, 16>;
using V8 = hn::Vec<D8>;

// Interleaving row i with row i + 8, four times over, transposes 16x16.
template <size_t... kRow>
HWY_INLINE void interleave(const V8 (&from)[16], V8 (&to)[16], std::index_sequence<kRow...>) {
  const D8 d;
  ((to[2 * kRow] = hn::InterleaveLower(d, from[kRow], from[kRow + 8]),
    to[2 * kRow + 1] = hn::InterleaveUpper(d, from[kRow], from[kRow + 8])),
   ...);
}

HWY_INLINE void transpose_16x16(const uint8_t* from, int64_t from_row, uint8_t* to,
                                int64_t to_row) {
  constexpr auto kHalf = std::make_index_sequence<8>();
  const D8 d;
  V8 a[16], b[16];
  for (int64_t i = 0; i < 16; ++i) a[i] = hn::LoadU(d, from + i * from_row);
  interleave(a, b, kHalf);
  interleave(b, a, kHalf);
  interleave(a, b, kHalf);
  interleave(b, a, kHalf);
  for (int64_t i = 0; i < 16; ++i) hn::StoreU(a[i], d, to + i * to_row);
}

HWY_INLINE void transpose_4x4(const float* from, int64_t from_row, float* to, int64_t to_row) {
  const hn::FixedTag<float, 4> d;
  const auto r0 = hn::LoadU(d, from), r1 = hn::LoadU(d, from + from_row);
  const auto r2 = hn::LoadU(d, from + 2 * from_row), r3 = hn::LoadU(d, from + 3 * from_row);
  const auto low02 = hn::InterleaveLower(d, r0, r2), low13 = hn::InterleaveLower(d, r1, r3);
  const auto high02 = hn::InterleaveUpper(d, r0, r2), high13 = hn::InterleaveUpper(d, r1, r3);
  hn::StoreU(hn::InterleaveLower(d, low02, low13), d, to);
  hn::StoreU(hn::InterleaveUpper(d, low02, low13), d, to + to_row);
  hn::StoreU(hn::InterleaveLower(d, high02, high13), d, to + 2 * to_row);
  hn::StoreU(hn::InterleaveUpper(d, high02, high13), d, to + 3 * to_row);
}

#endif

// to[x][y] = from[y][x], rows from_row and to_row apart; `transpose_square` does squares of kSquare
// at a time.
template <int64_t kSquare, typename T, class Square>
HWY_INLINE void transpose(const T* from, int64_t from_row, int64_t rows, int64_t columns, T* to,
                          int64_t to_row, const Square& transpose_square) {
  const int64_t whole_rows = rows / kSquare * kSquare;
  const int64_t whole_columns = columns / kSquare * kSquare;
  for (int64_t y = 0; y < whole_rows; y += kSquare) {
    for (int64_t x = 0; x < whole_columns; x += kSquare) {
      transpose_square(from + y * from_row + x, to + x * to_row + y);
    }
  }
  for (int64_t y = 0; y < rows; ++y) {
    for (int64_t x = y < whole_rows ? whole_columns : 0; x < columns; ++x) {
      to[x * to_row + y] = from[y * from_row + x];
    }
  }
}

// Of `rows` rows of `columns` bytes, into rows of to_row bytes.
HWY_INLINE void transpose_bytes(const uint8_t* from, int64_t rows, int64_t columns, uint8_t* to,
                                int64_t to_row) {
#if HWY_TARGET == HWY_SCALAR
  transpose<1>(from, columns, rows, columns, to, to_row,
               [](const uint8_t* a, uint8_t* b) { *b = *a; });
#else
  transpose<16>(from, columns, rows, columns, to, to_row,
                [&](const uint8_t* a, uint8_t* b)
                    HWY_ATTR { transpose_16x16(a, columns, b, to_row); });
#endif
}

// Of `rows` rows, from_row floats apart, the first `columns` floats.
HWY_INLINE void transpose_floats(const float* from, int64_t from_row, int64_t rows, int64_t columns,
                                 float* to, int64_t to_row) {
#if HWY_TARGET == HWY_SCALAR
  transpose<1>(from, from_row, rows, columns, to, to_row,
               [](const float* a, float* b) { *b = *a; });
#else
  transpose<4>(from, from_row, rows, columns, to, to_row,
               [&](const float* a, float* b) HWY_ATTR { transpose_4x4(a, from_row, b, to_row); });
#endif
}

HWY_INLINE void transpose_floats(const float* from, int64_t rows, int64_t columns, float* to,
                                 int64_t to_row) {
  transpose_floats(from, columns, rows, columns, to, to_row);
}

}  // namespace HWY_NAMESPACE
}  // namespace cifar
HWY_AFTER_NAMESPACE();

#endif

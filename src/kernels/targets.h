// The instruction sets that the kernels are compiled for: AVX2, AVX-512, what other machines have,
// and a plain loop where there is none of them. SSE has no fused multiply-add and AVX3_DL brings
// nothing for float32.
#pragma once

#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)

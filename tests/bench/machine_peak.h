// What one core of this machine can do at most.
#pragma once

namespace cifar {

// Floating-point operations a second, in 10^9: fused multiply-adds on float32 in registers, two
// operations each, with the widest vectors there are.
double fma_peak();

// Bytes a second, in 10^9, that are read from memory in one run over more than the caches hold.
double read_bandwidth();

}  // namespace cifar

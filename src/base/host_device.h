// CIFAR_HOST_DEVICE marks a function that both the CPU loop and the CUDA kernel call, so that the
// logic of the kernels is tested on machines without a GPU.
#pragma once

#ifdef __CUDACC__
#define CIFAR_HOST_DEVICE __host__ __device__
#else
#define CIFAR_HOST_DEVICE
#endif

// CIFAR_FOR_EACH_ISA makes the compiler build a function for several instruction sets; the loader
// takes the best that the machine has. With -ffp-contract=off all of them give the same bits.
#pragma once

// Not under sanitizers: they instrument what the loader runs before they are ready.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CIFAR_FOR_EACH_ISA \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CIFAR_FOR_EACH_ISA
#endif

// The C allocator's settings for training.
#pragma once

namespace cifar {

// By default glibc hands large tensors back to the kernel when they are freed, and every step
// faults their pages in again: up to half of a step's time on the CPU. After this call it keeps
// them.
void keep_freed_memory();

}  // namespace cifar

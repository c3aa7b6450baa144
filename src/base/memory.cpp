#include "base/memory.h"

#include <malloc.h>

#include <climits>

namespace cifar {

void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);              // large blocks come from the heap
  mallopt(M_TRIM_THRESHOLD, INT_MAX);  // whose free end stays
  mallopt(M_TOP_PAD, 64 << 20);        // and grows in large steps
#endif
}

}  // namespace cifar

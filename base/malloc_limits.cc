// SPDX-License-Identifier: Apache-2.0
#include "base/malloc_limits.h"

#include <malloc.h>

namespace penstock {

void limit_kept_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, static_cast<int>(kLargeBlock));
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(kKeptFree));
#endif
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fiber_stack.h"

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

#include "iothreads/fatal.h"
#include "iothreads/sanitizers.h"

namespace penstock {

FiberStack::FiberStack() {
  void* const mapping = ::mmap(nullptr, kGuardSize + kStackSize, PROT_NONE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  mapping_ = static_cast<std::byte*>(mapping);
  if (mapping == MAP_FAILED || ::mprotect(low(), kStackSize, PROT_READ | PROT_WRITE) != 0) {
    fatal("cannot map a coroutine's stack (see vm.max_map_count and ulimit -v)",
          std::generic_category().message(errno));
  }
}

FiberStack::~FiberStack() {
#if defined(PENSTOCK_ASAN)
  // Another mapping may get these addresses; it must not inherit the marks of our frames.
  __asan_unpoison_memory_region(low(), kStackSize);
#endif
  ::munmap(mapping_, kGuardSize + kStackSize);
}

}  // namespace penstock

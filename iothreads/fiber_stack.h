// SPDX-License-Identifier: Apache-2.0
// The memory of one coroutine's stack, with a guard below it.
//
// Ownership: owns its mapping. It lives as long as its pooled coroutine, so a request maps nothing.
// Threads: a value.
// Errors: aborts when the memory cannot be mapped, naming the limit to look at.
// Invariants: kStackSize usable bytes; the kGuardSize bytes below them fault on any access. The
//   guard is wider than a page, so that a large frame cannot step over it.
#pragma once

#include <cstddef>

namespace penstock {

class FiberStack {
 public:
  static constexpr size_t kStackSize = 256 * 1024;
  static constexpr size_t kGuardSize = 64 * 1024;

  FiberStack();
  FiberStack(const FiberStack&) = delete;
  FiberStack& operator=(const FiberStack&) = delete;
  ~FiberStack();

  // The lowest usable byte. The stack grows down towards it from low() + kStackSize.
  std::byte* low() const { return mapping_ + kGuardSize; }

 private:
  std::byte* mapping_;
};

}  // namespace penstock

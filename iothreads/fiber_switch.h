// SPDX-License-Identifier: Apache-2.0
// The switch between a thread and one fiber. The only user of Boost.Context.
//
// Ownership: the stack outlives the switch.
// Threads: entered by one thread at a time, not always the same one.
// Errors: none.
// Invariants: enter() returns when the fiber calls leave(), and leave() returns at the next
//   enter(). The fiber's body never returns. ASan and TSan are told of each switch.
#pragma once

#include <cstddef>

namespace penstock {

class FiberStack;

class FiberSwitch {
 public:
  using Body = void (*)(void* argument);

  // The first enter() calls body(argument) on `stack`.
  FiberSwitch(const FiberStack& stack, Body body, void* argument);
  FiberSwitch(const FiberSwitch&) = delete;
  FiberSwitch& operator=(const FiberSwitch&) = delete;
  ~FiberSwitch();

  // The thread's side.
  void enter();
  // The fiber's side.
  void leave();

  // The body of every fiber, called by the one function that knows Boost.Context's types.
  void start(void* thread_context);

 private:
  const FiberStack& stack_;
  const Body body_;
  void* const argument_;
  void* fiber_context_;             // where to enter, while the fiber is away
  void* thread_context_ = nullptr;  // where to leave to, while it runs

  // For the sanitizers; unused without them.
  const void* thread_stack_low_ = nullptr;
  size_t thread_stack_size_ = 0;
  void* tsan_fiber_ = nullptr;
  void* tsan_thread_ = nullptr;
};

}  // namespace penstock

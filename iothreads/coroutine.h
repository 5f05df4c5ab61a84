// SPDX-License-Identifier: Apache-2.0
// A stackful coroutine on Boost.Context. Every request is one.
//
// Ownership: a coroutine belongs to the pool; it returns there by itself when its entry returns.
//   Nobody keeps a pointer to a coroutine that may have ended.
// Threads: runs on the thread of one AioContext at a time, resumed by that context's loop only,
//   never from inside another coroutine. It may continue on another thread after
//   co_reschedule_self() only.
// Errors: an overflow of the stack hits a guard page and faults; it does not corrupt.
// Invariants: exactly one wake-up (AioContext::schedule) answers each co_yield(). A wake-up on the
//   coroutine's own context that comes before the yield is safe, since the loop runs it later.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "base/thread_roles.h"

namespace penstock {

class AioContext;

// What a coroutine is doing at a gate, for the drain that must name who holds it. Written by the
// running coroutine with relaxed stores, read by anyone.
struct RequestTag {
  std::atomic<const void*> gate{nullptr};       // identity only, never dereferenced by readers
  std::atomic<const void*> node{nullptr};       // innermost node entered; identity only
  std::atomic<const char*> operation{nullptr};  // a literal
  std::atomic<uint64_t> offset{0};              // bytes
  std::atomic<uint64_t> length{0};              // bytes
};

class Coroutine {
 public:
  using Entry = absl::AnyInvocable<void()>;

  // The running coroutine, or nullptr outside any.
  static Coroutine* self();

  // The context whose loop resumes it. Read by the coroutine itself and by its loop.
  AioContext* context() const { return context_; }
  RequestTag& tag() { return tag_; }

  // Number of CoMutex, CoRwLock and lease holds: drain asserts that it is zero.
  int locks_held = 0;
  // Number of gates and nodes that it is in flight in: drain asserts that it is zero.
  int in_flight = 0;

  // Visits every coroutine ever made by this process (a bounded pool); tags of idle ones are clear.
  static void for_each(const absl::AnyInvocable<void(Coroutine&) const>& visit);

 protected:
  Coroutine() = default;
  ~Coroutine() = default;

  AioContext* context_ = nullptr;
  RequestTag tag_;
};

// Gives up the thread until somebody schedules this coroutine again.
void co_yield_self() COROUTINE_CODE;

// Continues on `target`'s thread; returns at once if it is there already. Any open CoMutex stays
// held.
void co_reschedule_self(AioContext& target) COROUTINE_CODE;

// Lets everything that is ready on this context run first.
void co_pause() COROUTINE_CODE;

// Gives the role to code that starts in a coroutine (a lambda). Checked in debug builds.
void assert_in_coroutine() ASSERTS_ROLE(coroutine_role);
// The same for code that must not be in one. Checked in debug builds.
void assert_not_in_coroutine();

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// The three classes of function, as capabilities that clang's thread-safety analysis checks.
//
//   GLOBAL_STATE_CODE  the control thread only; may read and change the graph.
//   IO_CODE            in a coroutine on any AioContext, in flight in the node that it uses.
//   IO_OR_GS_CODE      any coroutine anywhere that is in flight in no node; it may wait for a
//   drain.
//
// Two more describe the runtime below the block layer:
//
//   COROUTINE_CODE     in a coroutine; may yield.
//   BLOCKING_CODE      may block the thread; never inside a coroutine.
//
// Ownership: the roles are tags without state; nothing is acquired at run time by them.
// Threads: a role is held by the code that runs, not by an object. Where code starts (a coroutine's
//   first function, a lambda), an assert_*() function gives the role and checks it in debug builds.
// Invariants: overrides repeat the attributes of what they override; the analysis does not.
#pragma once

#if defined(__clang__)
#define PENSTOCK_TSA(x) __attribute__((x))
#else
#define PENSTOCK_TSA(x)
#endif

// Abseil's headers define these three under the same names, with the same meaning.
#undef GUARDED_BY
#undef PT_GUARDED_BY
#undef NO_THREAD_SAFETY_ANALYSIS

#define CAPABILITY(name) PENSTOCK_TSA(capability(name))
#define SCOPED_CAPABILITY PENSTOCK_TSA(scoped_lockable)
#define GUARDED_BY(x) PENSTOCK_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) PENSTOCK_TSA(pt_guarded_by(x))
#define REQUIRES_ROLE(...) PENSTOCK_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES_ROLE(...) PENSTOCK_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRES(...) PENSTOCK_TSA(acquire_capability(__VA_ARGS__))
#define RELEASES(...) PENSTOCK_TSA(release_capability(__VA_ARGS__))
#define TRY_ACQUIRES(...) PENSTOCK_TSA(try_acquire_capability(__VA_ARGS__))
#define ASSERTS_ROLE(x) PENSTOCK_TSA(assert_capability(x))
#define RETURNS_CAPABILITY(x) PENSTOCK_TSA(lock_returned(x))
#define NO_THREAD_SAFETY_ANALYSIS PENSTOCK_TSA(no_thread_safety_analysis)

namespace penstock {

class CAPABILITY("role") Role {};

inline Role control_thread_role;
inline Role coroutine_role;
inline Role in_flight_role;

}  // namespace penstock

#define GLOBAL_STATE_CODE REQUIRES_ROLE(::penstock::control_thread_role)
#define COROUTINE_CODE REQUIRES_ROLE(::penstock::coroutine_role)
#define IO_CODE REQUIRES_ROLE(::penstock::coroutine_role, ::penstock::in_flight_role)
#define IO_OR_GS_CODE \
  REQUIRES_ROLE(::penstock::coroutine_role) EXCLUDES_ROLE(::penstock::in_flight_role)
// A global-state function that also yields: a control command's coroutine on the control thread.
#define CONTROL_COROUTINE_CODE                                               \
  REQUIRES_ROLE(::penstock::control_thread_role, ::penstock::coroutine_role) \
  EXCLUDES_ROLE(::penstock::in_flight_role)
#define BLOCKING_CODE EXCLUDES_ROLE(::penstock::coroutine_role)

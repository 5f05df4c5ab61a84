// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fiber_switch.h"

#include <boost/context/detail/fcontext.hpp>

#include "iothreads/fatal.h"
#include "iothreads/fiber_stack.h"
#include "iothreads/sanitizers.h"

namespace penstock {
namespace {

void on_new_stack(boost::context::detail::transfer_t transfer) noexcept {
  static_cast<FiberSwitch*>(transfer.data)->start(transfer.fctx);
}

}  // namespace

FiberSwitch::FiberSwitch(const FiberStack& stack, Body body, void* argument)
    : stack_(stack), body_(body), argument_(argument) {
  fiber_context_ = boost::context::detail::make_fcontext(stack.low() + FiberStack::kStackSize,
                                                         FiberStack::kStackSize, on_new_stack);
#if defined(PENSTOCK_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

FiberSwitch::~FiberSwitch() {
#if defined(PENSTOCK_TSAN)
  __tsan_destroy_fiber(tsan_fiber_);
#endif
}

[[gnu::noinline]] void FiberSwitch::enter() {
  void* const target = fiber_context_;
#if defined(PENSTOCK_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, stack_.low(), FiberStack::kStackSize);
#elif defined(PENSTOCK_TSAN)
  tsan_thread_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_fiber_, 0);
#endif
  fiber_context_ = boost::context::detail::jump_fcontext(target, this).fctx;
#if defined(PENSTOCK_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

[[gnu::noinline]] void FiberSwitch::leave() {
  void* const target = thread_context_;
#if defined(PENSTOCK_ASAN)
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, thread_stack_low_, thread_stack_size_);
#elif defined(PENSTOCK_TSAN)
  __tsan_switch_to_fiber(tsan_thread_, 0);
#endif
  thread_context_ = boost::context::detail::jump_fcontext(target, this).fctx;
#if defined(PENSTOCK_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, &thread_stack_low_, &thread_stack_size_);
#endif
}

void FiberSwitch::start(void* thread_context) {
#if defined(PENSTOCK_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &thread_stack_low_, &thread_stack_size_);
#endif
  thread_context_ = thread_context;
  body_(argument_);
  fatal("a fiber's body returned");
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "iothreads/control_thread.h"

#include <atomic>

#include "iothreads/fatal.h"

namespace penstock {
namespace {

std::atomic<AioContext*> control{nullptr};

}  // namespace

ControlThreadScope::ControlThreadScope(AioContext& context) {
  AioContext* expected = nullptr;
  if (!control.compare_exchange_strong(expected, &context)) {
    fatal("there is a control thread already", expected->name());
  }
}

ControlThreadScope::~ControlThreadScope() { control.store(nullptr); }

AioContext& control_context() {
  AioContext* const context = control.load(std::memory_order_acquire);
  if (context == nullptr) fatal("there is no control thread");
  return *context;
}

bool on_control_thread() {
  AioContext* const context = AioContext::current();
  return context != nullptr && context == control.load(std::memory_order_acquire);
}

void assert_control_thread() NO_THREAD_SAFETY_ANALYSIS {
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (!on_control_thread()) fatal("control thread's code runs on another thread");
#endif
}

CoControlHop::CoControlHop() : origin_(Coroutine::self()->context()) {
  co_reschedule_self(control_context());
}

CoControlHop::~CoControlHop() { co_reschedule_self(*origin_); }

}  // namespace penstock

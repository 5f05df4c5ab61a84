// SPDX-License-Identifier: Apache-2.0
#include "iothreads/coroutine_impl.h"

#include <utility>

#include "iothreads/fatal.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

struct Registry {
  ThreadMutex mutex{"coroutine registry"};
  CoroutineImpl* first GUARDED_BY(mutex) = nullptr;
};

Registry& registry() {
  static Registry* const instance = new Registry;  // outlives every thread
  return *instance;
}

void clear(RequestTag& tag) {
  tag.gate.store(nullptr, std::memory_order_relaxed);
  tag.node.store(nullptr, std::memory_order_relaxed);
  tag.operation.store(nullptr, std::memory_order_relaxed);
  tag.offset.store(0, std::memory_order_relaxed);
  tag.length.store(0, std::memory_order_relaxed);
}

}  // namespace

CoroutineImpl::CoroutineImpl() : fiber_(stack_, run_entries, this) {
  const ThreadLock lock(registry().mutex);
  registered_next_ = registry().first;
  if (registered_next_ != nullptr) registered_next_->registered_previous_ = this;
  registry().first = this;
}

CoroutineImpl::~CoroutineImpl() {
  const ThreadLock lock(registry().mutex);
  if (registered_next_ != nullptr) registered_next_->registered_previous_ = registered_previous_;
  if (registered_previous_ != nullptr) {
    registered_previous_->registered_next_ = registered_next_;
  } else {
    registry().first = registered_next_;
  }
}

void Coroutine::for_each(const absl::AnyInvocable<void(Coroutine&) const>& visit) {
  const ThreadLock lock(registry().mutex);
  for (CoroutineImpl* each = registry().first; each != nullptr; each = each->registered_next_) {
    visit(*each);
  }
}

void CoroutineImpl::prepare(const char* name, Entry entry, AioContext* context) {
  name_ = name;
  entry_ = std::move(entry);
  context_ = context;
}

// One fiber runs entry after entry, so that its frames, its stack and the sanitizers' records of it
// are set up once.
void CoroutineImpl::run_entries(void* self) noexcept {
  auto* const coroutine = static_cast<CoroutineImpl*>(self);
  for (;;) {
    coroutine->entry_();
    coroutine->finish_entry();
    coroutine->leave();
  }
}

void CoroutineImpl::finish_entry() {
  entry_ = nullptr;
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (locks_held != 0) fatal("a coroutine ended while it held a lock or lease", name_);
  if (in_flight != 0) fatal("a coroutine ended while in flight", name_);
#endif
  clear(tag_);
  request = Request::kEnded;
}

}  // namespace penstock

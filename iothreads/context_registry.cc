// SPDX-License-Identifier: Apache-2.0
#include "iothreads/context_registry.h"

#include <utility>

#include "iothreads/coroutine_impl.h"

namespace penstock {

ContextRegistry& ContextRegistry::instance() {
  static ContextRegistry* const registry = new ContextRegistry;  // outlives every thread
  return *registry;
}

std::shared_ptr<AioContext> ContextRegistry::make_context(std::string name) {
  const ThreadLock lock(mutex_);
  for (unsigned slot = 0; slot < kMaxContexts; ++slot) {
    if (entries_[slot].context != nullptr) continue;
    std::shared_ptr<AioContext> context(new AioContext(std::move(name), slot));
    entries_[slot].context = context.get();
    return context;
  }
  return nullptr;
}

void ContextRegistry::remove(AioContext& context) {
  const ThreadLock lock(mutex_);
  entries_[context.slot()] = Entry{};
}

void ContextRegistry::list(AioContext& context) {
  const ThreadLock lock(mutex_);
  entries_[context.slot()].listed = true;
}

void ContextRegistry::unlist(AioContext& context) {
  const ThreadLock lock(mutex_);
  entries_[context.slot()].listed = false;
}

std::vector<std::shared_ptr<AioContext>> ContextRegistry::listed() {
  std::vector<std::shared_ptr<AioContext>> result;
  result.reserve(kMaxContexts);
  const ThreadLock lock(mutex_);
  for (const Entry& entry : entries_) {
    if (!entry.listed) continue;
    // Nothing, if the last owner is just letting go.
    if (auto context = entry.context->weak_from_this().lock()) result.push_back(std::move(context));
  }
  return result;
}

std::optional<unsigned> ContextRegistry::next_busy_slot(unsigned from) {
  const ThreadLock lock(mutex_);
  for (unsigned slot = from; slot < kMaxContexts; ++slot) {
    AioContext* const context = entries_[slot].context;
    if (context == nullptr) continue;
    // A read-modify-write, not a load: the loop's own exchange then reads from it, and so its next
    // turn happens after this.
    bool quiet = true;
    if (!context->quiet_.compare_exchange_strong(quiet, true, std::memory_order_acq_rel)) {
      return slot;
    }
  }
  return std::nullopt;
}

bool ContextRegistry::try_visit(CoroutineImpl* coroutine, unsigned slot) {
  const ThreadLock lock(mutex_);
  if (!entries_[slot].listed) return false;
  coroutine->set_context(entries_[slot].context);
  entries_[slot].context->schedule(coroutine);
  return true;
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// Every AioContext by its slot, and which of them take visitors.
//
// Ownership: knows contexts, owns none. Lives as long as the process.
// Threads: any.
// Errors: none.
// Invariants: a context is listed from attach_poller() to the end of run(). A visitor is queued
//   only on a listed context, and run() runs all queued visitors after it has left the list.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "iothreads/aio_context.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class ContextRegistry {
 public:
  static ContextRegistry& instance();

  // A context in a free slot, or nullptr if there is none.
  std::shared_ptr<AioContext> make_context(std::string name);
  void remove(AioContext& context);
  void list(AioContext& context);
  void unlist(AioContext& context);
  std::vector<std::shared_ptr<AioContext>> listed();

  // The first slot from `from` on whose context may be within a turn now. Slots that are passed
  // over were quiet, and what they run next sees what the caller wrote before.
  std::optional<unsigned> next_busy_slot(unsigned from);

  // The loop, for a coroutine that has yielded: queues it on the context in `slot` if that takes
  // visitors.
  bool try_visit(CoroutineImpl* coroutine, unsigned slot);

 private:
  struct Entry {
    AioContext* context = nullptr;
    bool listed = false;
  };
  ThreadMutex mutex_{"context registry"};
  std::array<Entry, kMaxContexts> entries_ GUARDED_BY(mutex_);
};

}  // namespace penstock

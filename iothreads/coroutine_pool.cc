// SPDX-License-Identifier: Apache-2.0
#include "iothreads/coroutine_pool.h"

#include <cstddef>
#include <utility>

#include "iothreads/coroutine_impl.h"
#include "iothreads/thread_mutex.h"

namespace penstock {
namespace {

constexpr size_t kThreadLimit = 256;
constexpr size_t kBatch = 128;
// Well below the number of fibers that TSan can track.
constexpr size_t kCommonLimit = 4096;

struct List {
  CoroutineImpl* first = nullptr;
  size_t size = 0;

  void push(CoroutineImpl* coroutine) {
    coroutine->next = first;
    first = coroutine;
    ++size;
  }
  CoroutineImpl* pop() {
    CoroutineImpl* const coroutine = std::exchange(first, first->next);
    coroutine->next = nullptr;
    --size;
    return coroutine;
  }
};

struct CommonPool {
  ThreadMutex mutex{"coroutine pool"};
  List idle GUARDED_BY(mutex);
};

CommonPool& common_pool() {
  static CommonPool* const instance = new CommonPool;  // outlives every thread
  return *instance;
}

void give_to_common_pool(List& list, size_t count) {
  List surplus;
  {
    const ThreadLock lock(common_pool().mutex);
    for (; count > 0; --count) {
      List& target = common_pool().idle.size < kCommonLimit ? common_pool().idle : surplus;
      target.push(list.pop());
    }
  }
  while (surplus.first != nullptr) delete surplus.pop();
}

void take_from_common_pool(List& list) {
  const ThreadLock lock(common_pool().mutex);
  while (common_pool().idle.first != nullptr && list.size < kBatch) {
    list.push(common_pool().idle.pop());
  }
}

struct ThreadPoolOfCoroutines {
  List idle;
  ~ThreadPoolOfCoroutines() { give_to_common_pool(idle, idle.size); }
};

[[gnu::noinline]] List& thread_list() {
  thread_local ThreadPoolOfCoroutines pool;
  asm volatile("" ::: "memory");  // keeps the address from being computed once for two threads
  return pool.idle;
}

}  // namespace

CoroutineImpl* take_pooled_coroutine() {
  List& list = thread_list();
  if (list.first == nullptr) take_from_common_pool(list);
  return list.first == nullptr ? new CoroutineImpl : list.pop();
}

void give_pooled_coroutine(CoroutineImpl* coroutine) {
  List& list = thread_list();
  list.push(coroutine);
  if (list.size > kThreadLimit) give_to_common_pool(list, kBatch);
}

}  // namespace penstock

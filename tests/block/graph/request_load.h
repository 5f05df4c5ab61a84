// SPDX-License-Identifier: Apache-2.0
// Endless writes, reads and flushes through a backend from many coroutines, checking every answer.
//
// Each worker owns one block: it writes rising numbers there, reads them back, and flushes. What a
// flush has acknowledged must be durable in the spy below.
//
// Ownership: outlived by the backend and the spy; stop_and_wait() before it is destroyed.
// Threads: built and stopped on the test's thread; workers on their contexts.
// Errors: failures are counted, and the first one is kept as text.
// Invariants: every request that was issued is answered exactly once when stop_and_wait() returns.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "block/backend/backend.h"
#include "iothreads/aio_context.h"
#include "iothreads/thread_mutex.h"
#include "tests/block/graph/spy_driver.h"

namespace penstock {

class RequestLoad {
 public:
  // `storage` is the spy that holds the bytes below the backend.
  RequestLoad(Backend& backend, Spy& storage) : backend_(backend), storage_(storage) {}
  RequestLoad(const RequestLoad&) = delete;
  RequestLoad& operator=(const RequestLoad&) = delete;
  ~RequestLoad();

  void start_worker(AioContext& context, unsigned block);
  // Ask the workers to end.
  void stop() { stop_ = true; }
  bool stopped() const { return running_ == 0; }
  // Blocks the thread.
  void stop_and_wait();

  uint64_t issued() const { return issued_; }
  uint64_t answered() const { return answered_; }
  uint64_t writes() const { return writes_; }
  uint64_t failures() const { return failures_; }
  std::string first_failure();

 private:
  void co_work(unsigned block) COROUTINE_CODE;
  void note_failure(const std::string& text);

  Backend& backend_;
  Spy& storage_;
  std::atomic<bool> stop_{false};
  std::atomic<int> running_{0};
  std::atomic<uint64_t> issued_{0};
  std::atomic<uint64_t> answered_{0};
  std::atomic<uint64_t> writes_{0};
  std::atomic<uint64_t> failures_{0};
  ThreadMutex mutex_{"RequestLoad"};
  std::string first_failure_ GUARDED_BY(mutex_);
};

}  // namespace penstock

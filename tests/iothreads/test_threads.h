// SPDX-License-Identifier: Apache-2.0
// What the tests of the runtime share: IoThreads that start or end the test program, and a latch
// between threads and coroutines.
//
// Ownership: the test owns what it makes.
// Threads: see each.
// Errors: a thread that does not start ends the program.
// Invariants: none.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "iothreads/co_event.h"
#include "iothreads/fatal.h"
#include "iothreads/iothread.h"
#include "iothreads/run_sync.h"

namespace penstock {

inline std::unique_ptr<IoThread> start_iothread(std::string name, Engine engine = Engine::kAuto) {
  auto iothread = IoThread::start(std::move(name), engine);
  if (!iothread.ok()) fatal("cannot start a test's IoThread", status_text(iothread.status()));
  return *std::move(iothread);
}

inline std::vector<std::unique_ptr<IoThread>> start_iothreads(unsigned count) {
  std::vector<std::unique_ptr<IoThread>> iothreads;
  for (unsigned i = 0; i < count; ++i)
    iothreads.push_back(start_iothread("io" + std::to_string(i)));
  return iothreads;
}

// Threads (never coroutines) wait until it has been opened.
class ThreadLatch {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    condition_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool open_ = false;
};

// Opens its latch when `count` arrivals have been counted, from any thread or coroutine.
class Countdown {
 public:
  explicit Countdown(int count) : left_(count) {}
  void arrive() {
    const std::lock_guard lock(mutex_);
    if (--left_ == 0) condition_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    condition_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  int left_;
};

}  // namespace penstock

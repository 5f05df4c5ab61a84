// SPDX-License-Identifier: Apache-2.0
// Runs equal jobs of one request on the shared thread pool, and waits for all of them.
//
// Ownership: lives on the coroutine that waits; what the jobs use outlives co_wait_all().
// Threads: the two functions in one coroutine; the jobs on workers, several at a time.
// Errors: none of its own.
// Invariants: no more workers than processors are asked for at a time for one set of jobs. Every
//   start() is followed by a co_wait_all() before the object goes.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

#include "base/thread_roles.h"
#include "iothreads/co_event.h"

namespace penstock {

class Qcow2DecompressJobs {
 public:
  Qcow2DecompressJobs() = default;
  Qcow2DecompressJobs(const Qcow2DecompressJobs&) = delete;
  Qcow2DecompressJobs& operator=(const Qcow2DecompressJobs&) = delete;

  // Begins job(0), ... job(count - 1). May be called again before the wait.
  void start(size_t count, std::function<void(size_t)> job);
  void co_wait_all() COROUTINE_CODE;

 private:
  void leave();

  std::atomic<size_t> running_{1};  // workers, and the one who waits
  CoEvent finished_;
};

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// A thread that runs one AioContext.
//
// Ownership: owns the thread; the context is shared.
// Threads: created and destroyed by the control side; the destructor stops the loop and joins.
// Errors: start() answers what creating the context, its poller or the thread answered.
// Invariants: all users of the context are gone before the IoThread is destroyed.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "iothreads/aio_context.h"
#include "iothreads/poller_factory.h"

namespace penstock {

class IoThread {
 public:
  static absl::StatusOr<std::unique_ptr<IoThread>> start(std::string name,
                                                         Engine engine = Engine::kAuto);
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;
  ~IoThread();

  AioContext& context() const { return *context_; }
  std::shared_ptr<AioContext> share_context() const { return context_; }
  // The kernel's number of the thread.
  pid_t thread_id() const { return thread_id_; }
  // Why io_uring is not used, if it is not; else empty.
  const std::string& fallback_cause() const { return fallback_cause_; }

 private:
  IoThread() = default;
  std::shared_ptr<AioContext> context_;
  std::thread thread_;
  pid_t thread_id_ = 0;
  std::string fallback_cause_;
};

}  // namespace penstock

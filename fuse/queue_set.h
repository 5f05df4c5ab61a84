// SPDX-License-Identifier: Apache-2.0
// The queues of one session: started, exchanged for others under live I/O, ended.
//
// Ownership: owns the queues and the session's descriptor; shares the contexts, which live until
//   the queue on them has gone. co_end() has returned before it is destroyed, if co_start() was OK.
// Threads: the control thread.
// Errors: ENOMEM, with nothing changed. A descriptor that cannot be cloned is no error: the
//   session's own is shared then.
// Invariants: between co_start() and co_end() at least one queue serves, as long as the session
//   lives. A queue that leaves finishes what it has taken, and its descriptor is closed only when
//   nothing is in flight on it. Contexts are released on the control thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/host_services.h"
#include "base/thread_roles.h"
#include "base/unique_fd.h"
#include "fuse/dev_queue.h"
#include "fuse/session.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/co_mutex.h"

namespace penstock {

class QueueSet {
 public:
  using SharedFd = std::shared_ptr<const UniqueFd>;
  using Contexts = std::vector<std::shared_ptr<AioContext>>;

  QueueSet(Session& session, HostServices& host) : session_(session), host_(host) {}
  QueueSet(const QueueSet&) = delete;
  QueueSet& operator=(const QueueSet&) = delete;

  // `session_fd`: non-blocking, after the handshake. One queue for each context; the session must
  // have been made for that many.
  absl::Status co_start(SharedFd session_fd, const Contexts& contexts) CONTROL_COROUTINE_CODE;

  // Queues on `contexts` serve from now on, and no others; returns when the others have gone. A
  // queue whose context stays goes on as it is. One exchange at a time; a second one waits.
  // ETIMEDOUT if requests that the old queues took have not ended within `limit`: the old queues
  // serve on then, and the new ones leave. ESHUTDOWN if the session is ending.
  absl::Status co_exchange(const Contexts& contexts, Nanoseconds limit) CONTROL_COROUTINE_CODE;

  // Makes every queue leave and waits until the session has ended. No exchange begins any more; one
  // that is under way ends before this returns.
  void co_end() CONTROL_COROUTINE_CODE;

  // nullptr before co_start() and after co_end().
  const SharedFd& session_fd() const { return session_fd_; }
  // Why queues share a descriptor, if they do; else empty.
  const std::string& clone_failure() const { return clone_failure_; }

 private:
  using Queues = std::vector<std::shared_ptr<DevQueue>>;
  // What an exchange changes.
  struct Plan {
    Queues next;    // in the order of the contexts
    Queues coming;  // of these, the new ones
    Queues going;
  };
  SharedFd co_descriptor_beside(const Queues& others) CONTROL_COROUTINE_CODE;
  absl::StatusOr<Plan> co_plan(const Contexts& contexts) CONTROL_COROUTINE_CODE;
  absl::Status co_switch(const Contexts& contexts, Plan* plan) CONTROL_COROUTINE_CODE;
  void co_switch_back(const Queues& former, Plan plan) CONTROL_COROUTINE_CODE;
  void release_later(Queues queues) GLOBAL_STATE_CODE;

  Session& session_;
  HostServices& host_;
  SharedFd session_fd_;
  Queues queues_;
  std::string clone_failure_;
  bool ending_ = false;
  CoMutex exchanging_;  // held by one exchange from its begin to its end
  CoMutex changing_;    // held while queues_ changes or is walked
  unsigned releasing_ = 0;
  CoEvent released_;  // set when releasing_ has become 0
};

}  // namespace penstock

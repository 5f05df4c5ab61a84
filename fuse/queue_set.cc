// SPDX-License-Identifier: Apache-2.0
#include "fuse/queue_set.h"

#include <errno.h>
#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "base/sync_point.h"
#include "iothreads/control_thread.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

absl::Status set_non_blocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    return errno_status(errno, "making a clone of the FUSE descriptor non-blocking");
  }
  return absl::OkStatus();
}

// Calls one of the queue's functions on each queue's own context.
void co_tell(const std::vector<std::shared_ptr<DevQueue>>& queues,
             void (DevQueue::*what)()) COROUTINE_CODE {
  for (const auto& queue : queues) {
    co_reschedule_self(queue->context());
    (*queue.*what)();
  }
  co_reschedule_self(control_context());
}

absl::Status is_ending(const Session& session) {
  return errno_message(ESHUTDOWN, "the mount on \"" + session.options.mount_point +
                                      "\" has ended or is about to end: its queues stay");
}

}  // namespace

// One descriptor of its own for each queue: the session's for one, clones for the others. Where no
// clone can be had, they share the session's.
QueueSet::SharedFd QueueSet::co_descriptor_beside(const Queues& others) {
  const bool session_fd_is_free =
      std::none_of(others.begin(), others.end(),
                   [this](const auto& other) { return other->descriptor() == session_fd_; });
  if (session_fd_is_free) return session_fd_;
  absl::StatusOr<UniqueFd> clone = host_.co_clone_session(session_fd_->get());
  const absl::Status status = clone.ok() ? set_non_blocking(clone->get()) : clone.status();
  if (status.ok()) return std::make_shared<const UniqueFd>(*std::move(clone));
  clone_failure_ = status_text(status);
  return session_fd_;
}

absl::StatusOr<QueueSet::Plan> QueueSet::co_plan(const Contexts& contexts) {
  Plan plan;
  plan.going = queues_;
  plan.next.resize(contexts.size());
  for (size_t i = 0; i < contexts.size(); ++i) {
    const auto stays = std::find_if(plan.going.begin(), plan.going.end(), [&](const auto& queue) {
      return &queue->context() == contexts[i].get();
    });
    if (stays == plan.going.end()) continue;
    plan.next[i] = *stays;
    plan.going.erase(stays);
  }
  Queues with_descriptors;
  for (const auto& queue : plan.next) {
    if (queue != nullptr) with_descriptors.push_back(queue);
  }
  for (size_t i = 0; i < contexts.size(); ++i) {
    if (plan.next[i] != nullptr) continue;
    absl::StatusOr<std::unique_ptr<DevQueue>> queue =
        DevQueue::create(session_, contexts[i], co_descriptor_beside(with_descriptors));
    if (!queue.ok()) return queue.status();
    plan.next[i] = *std::move(queue);
    plan.coming.push_back(plan.next[i]);
    with_descriptors.push_back(plan.next[i]);
  }
  return plan;
}

absl::Status QueueSet::co_start(SharedFd session_fd, const Contexts& contexts) {
  session_fd_ = std::move(session_fd);
  absl::StatusOr<Plan> plan = co_plan(contexts);
  if (!plan.ok()) return plan.status();
  queues_ = std::move(plan->next);
  co_tell(queues_, &DevQueue::start);
  return absl::OkStatus();
}

// The part of an exchange that is short: afterwards the new queues serve and the others leave.
absl::Status QueueSet::co_switch(const Contexts& contexts, Plan* plan) {
  const CoMutexLock lock(changing_);
  if (ending_ || session_.ended.is_set()) return is_ending(session_);
  const std::string former_failure = std::exchange(clone_failure_, "");
  absl::StatusOr<Plan> made = co_plan(contexts);
  if (!made.ok()) {
    clone_failure_ = former_failure;
    return made.status();
  }
  for (size_t i = 0; i < made->coming.size(); ++i) {
    // Only the first can be refused: a session with a counted queue that does not serve yet lives.
    if (session_.add_queue()) continue;
    clone_failure_ = former_failure;
    return is_ending(session_);
  }
  const auto shares = [this](const auto& queue) { return queue->descriptor() == session_fd_; };
  const bool any_shared = std::count_if(made->next.begin(), made->next.end(), shares) > 1;
  if (clone_failure_.empty() && any_shared) clone_failure_ = former_failure;
  *plan = *std::move(made);
  queues_ = plan->next;
  co_tell(plan->coming, &DevQueue::start);
  PENSTOCK_SYNC_POINT("queue_set:started");
  co_tell(plan->going, &DevQueue::leave);
  return absl::OkStatus();
}

absl::Status QueueSet::co_exchange(const Contexts& contexts, Nanoseconds limit) {
  const CoMutexLock lock(exchanging_);
  const Queues former = queues_;
  Plan plan;
  const absl::Status status = co_switch(contexts, &plan);
  if (!status.ok()) return status;
  const Nanoseconds deadline = AioContext::current()->now() + limit;
  const bool gone = std::all_of(plan.going.begin(), plan.going.end(), [&](const auto& queue) {
    assert_in_coroutine();
    return queue->gone().co_wait_until(deadline);
  });
  if (gone) {
    // The last one may still be in the call that set the event.
    co_pass_all_contexts();
    return absl::OkStatus();
  }
  co_switch_back(former, std::move(plan));
  return errno_message(ETIMEDOUT,
                       "requests on \"" + session_.options.mount_point +
                           "\" have not ended in time; the queues that took them serve on");
}

void QueueSet::co_switch_back(const Queues& former, Plan plan) {
  const CoMutexLock lock(changing_);
  if (ending_) {
    // All of them leave, and their requests are waited for by co_end().
    release_later(std::move(plan.going));
    return;
  }
  queues_ = former;
  co_tell(plan.going, &DevQueue::stay);
  co_tell(plan.coming, &DevQueue::leave);
  release_later(std::move(plan.coming));
}

// Keeps the queues and their contexts until they have gone.
void QueueSet::release_later(Queues queues) {
  if (queues.empty()) return;
  ++releasing_;
  released_.reset();
  control_context().spawn("release fuse queues", [this, queues = std::move(queues)]() mutable {
    assert_in_coroutine();
    assert_control_thread();
    for (const auto& queue : queues) queue->gone().co_wait();
    co_pass_all_contexts();
    queues.clear();
    if (--releasing_ == 0) released_.set();
  });
}

void QueueSet::co_end() {
  ending_ = true;
  PENSTOCK_SYNC_POINT("queue_set:ending");
  {
    const CoMutexLock lock(changing_);
    co_tell(queues_, &DevQueue::leave);
  }
  session_.ended.co_wait();
  {
    // Also those that wait for their turn see the end before this returns.
    const CoMutexLock lock(exchanging_);
  }
  if (releasing_ > 0) released_.co_wait();
  // The last queue may still be in the call that set the event.
  co_pass_all_contexts();
  queues_.clear();
  session_fd_.reset();
}

}  // namespace penstock

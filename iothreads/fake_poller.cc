// SPDX-License-Identifier: Apache-2.0
#include "iothreads/fake_poller.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "iothreads/fake_world.h"
#include "iothreads/system_operation.h"

namespace penstock {

void FakePoller::submit(IoOperation* operation) {
  if (operation->opcode == IoOpcode::kPoll) {
    polled_.push_back(operation);
    return;
  }
  operation->result = perform_system_operation(*operation);
  completed_.push_back(operation);
}

void FakePoller::cancel(IoOperation* operation) {
  if (std::erase(polled_, operation) == 0) return;  // it has completed
  operation->result = -ECANCELED;
  completed_.push_back(operation);
}

void FakePoller::flush() {
  std::erase_if(polled_, [this](IoOperation* operation) {
    pollfd ready = {operation->fd, static_cast<int16_t>(operation->mode), 0};
    if (::poll(&ready, 1, 0) != 1) return false;
    operation->result = ready.revents;
    completed_.push_back(operation);
    return true;
  });
}

IoOperation* FakePoller::reap() {
  const bool may_hold = std::exchange(may_hold_, true);
  if (completed_.empty()) return nullptr;
  // The modulo's bias does not matter; the standard distributions would differ between libraries.
  const size_t least = may_hold ? 0 : 1;
  size_t count = least + world_.random()() % (completed_.size() + 1 - least);
  IoOperation* first = nullptr;
  for (; count > 0; --count) {
    const size_t chosen = world_.random()() % completed_.size();
    std::swap(completed_[chosen], completed_.back());
    completed_.back()->next = first;
    first = completed_.back();
    completed_.pop_back();
  }
  return first;
}

void FakePoller::wait(Nanoseconds timeout) {
  if (timeout > Nanoseconds::zero()) world_.advance(timeout);
}

Nanoseconds FakePoller::now() const { return world_.now(); }

}  // namespace penstock

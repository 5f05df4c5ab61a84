// SPDX-License-Identifier: Apache-2.0
#include "iothreads/epoll_poller.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/status.h"
#include "iothreads/system_operation.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr unsigned kOperationThreads = 16;
constexpr int kEventBatch = 64;

// Apart from ThreadPool::shared(), whose jobs may wait for operations that these threads do.
ThreadPool& operation_threads() {
  static ThreadPool* const pool = new ThreadPool(kOperationThreads);  // outlives every thread
  return *pool;
}

}  // namespace

void EpollPoller::Completions::append(IoOperation* operation) {
  operation->next = nullptr;
  *last = operation;
  last = &operation->next;
}

void EpollPoller::Completions::append_all(Completions& other) {
  if (other.first == nullptr) return;
  *last = std::exchange(other.first, nullptr);
  last = std::exchange(other.last, &other.first);
}

absl::StatusOr<std::unique_ptr<EpollPoller>> EpollPoller::create() {
  std::unique_ptr<EpollPoller> poller(new EpollPoller);
  poller->epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!poller->epoll_.valid()) return errno_status(errno, "cannot create an epoll instance");
  poller->wake_fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!poller->wake_fd_.valid()) return errno_status(errno, "cannot create an eventfd");
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // no operation: the wake-up
  if (::epoll_ctl(poller->epoll_.get(), EPOLL_CTL_ADD, poller->wake_fd_.get(), &event) != 0) {
    return errno_status(errno, "cannot watch an eventfd");
  }
  return poller;
}

EpollPoller::~EpollPoller() {
  const ThreadLock lock(mutex_);
  while (running_ != 0) all_finished_.wait(mutex_);
}

void EpollPoller::submit(IoOperation* operation) {
  switch (operation->opcode) {
    case IoOpcode::kPoll:
      watch(operation);
      return;
    case IoOpcode::kNop:
      operation->result = 0;
      completed_.append(operation);
      return;
    default:
      break;
  }
  {
    const ThreadLock lock(mutex_);
    ++running_;
  }
  operation_threads().submit([this, operation] {
    operation->result = perform_system_operation(*operation);
    finish(operation);
  });
}

// One of the threads: hands the operation over. All under the lock, since the poller may be gone
// as soon as it sees nothing running.
void EpollPoller::finish(IoOperation* operation) {
  const ThreadLock lock(mutex_);
  finished_.append(operation);
  if (std::exchange(waiting_, false)) wake();
  if (--running_ == 0) all_finished_.notify_all();
}

void EpollPoller::watch(IoOperation* operation) {
  epoll_event event = {};
  event.events = operation->mode | EPOLLONESHOT;
  event.data.ptr = operation;
  Watch added{operation->fd, UniqueFd()};
  int status = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, added.fd, &event);
  if (status != 0 && errno == EEXIST) {
    // epoll takes a descriptor once; a copy is another one.
    added.copy.reset(::fcntl(operation->fd, F_DUPFD_CLOEXEC, 0));
    added.fd = added.copy.get();
    status = added.copy.valid() ? ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, added.fd, &event) : -1;
  }
  if (status == 0) {
    watches_.emplace(operation, std::move(added));
    return;
  }
  // EPERM: a file that epoll does not watch since it is always ready.
  operation->result =
      errno == EPERM ? static_cast<int32_t>(operation->mode & (POLLIN | POLLOUT)) : -errno;
  completed_.append(operation);
}

void EpollPoller::unwatch(IoOperation* operation) {
  const auto found = watches_.find(operation);
  // Fails harmlessly if the user has closed the descriptor.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, found->second.fd, nullptr);
  watches_.erase(found);
}

void EpollPoller::cancel(IoOperation* operation) {
  if (!watches_.contains(operation)) return;  // it has completed
  unwatch(operation);
  operation->result = -ECANCELED;
  completed_.append(operation);
}

void EpollPoller::take_events() {
  std::array<epoll_event, kEventBatch> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventBatch, 0);
  for (int i = 0; i < count; ++i) {
    auto* const operation = static_cast<IoOperation*>(events[i].data.ptr);
    if (operation == nullptr) {
      uint64_t wakes;
      [[maybe_unused]] const ssize_t got = ::read(wake_fd_.get(), &wakes, sizeof(wakes));
      continue;
    }
    unwatch(operation);
    operation->result = static_cast<int32_t>(events[i].events);
    completed_.append(operation);
  }
}

void EpollPoller::take_finished() const {
  const ThreadLock lock(mutex_);
  completed_.append_all(finished_);
}

void EpollPoller::flush() {
  if (!watches_.empty()) take_events();
}

IoOperation* EpollPoller::reap() {
  take_finished();
  completed_.last = &completed_.first;
  return std::exchange(completed_.first, nullptr);
}

bool EpollPoller::may_sleep() const {
  take_finished();
  return completed_.first == nullptr;
}

void EpollPoller::wait(Nanoseconds timeout) {
  {
    const ThreadLock lock(mutex_);
    if (finished_.first != nullptr || completed_.first != nullptr) return;
    waiting_ = true;
  }
  constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
  const timespec limit = {timeout.count() / kNanosecondsPerSecond,
                          timeout.count() % kNanosecondsPerSecond};
  // epoll_wait() counts milliseconds; ppoll() on the epoll instance counts nanoseconds.
  pollfd ready = {epoll_.get(), POLLIN, 0};
  ::ppoll(&ready, 1, timeout < Nanoseconds::zero() ? nullptr : &limit, nullptr);
  {
    const ThreadLock lock(mutex_);
    waiting_ = false;
  }
  if (ready.revents != 0) take_events();
}

void EpollPoller::wake() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the sleep ends anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof(one));
}

Nanoseconds EpollPoller::now() const { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "iothreads/uring_poller.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/status.h"

namespace penstock {
namespace {

constexpr unsigned kSubmissionEntries = 256;
constexpr unsigned kCompletionEntries = 4096;
constexpr unsigned kReapBatch = 64;
// Larger lengths go through the vectored call, which limits them itself.
constexpr size_t kLargestSingle = 1U << 30;

// Values of user_data that are no operation's address.
constexpr uint64_t kIgnored = 0;
constexpr uint64_t kWake = 1;

// From the newest kernel's flags to what every supported kernel takes.
constexpr std::array<unsigned, 3> kRingFlags = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL, 0};
// Completions are never dropped, and a timed wait needs one system call: Linux 5.11.
constexpr unsigned kNeededFeatures = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;

void prepare_operation(io_uring_sqe* entry, const IoOperation& operation) {
  const bool single = operation.iov_count == 1 && operation.iov->iov_len <= kLargestSingle;
  switch (operation.opcode) {
    case IoOpcode::kReadv:
      if (single) {
        io_uring_prep_read(entry, operation.fd, operation.iov->iov_base,
                           static_cast<unsigned>(operation.iov->iov_len), operation.offset);
      } else {
        io_uring_prep_readv(entry, operation.fd, operation.iov, operation.iov_count,
                            operation.offset);
      }
      entry->rw_flags = static_cast<int>(operation.mode);
      return;
    case IoOpcode::kWritev:
      if (single) {
        io_uring_prep_write(entry, operation.fd, operation.iov->iov_base,
                            static_cast<unsigned>(operation.iov->iov_len), operation.offset);
      } else {
        io_uring_prep_writev(entry, operation.fd, operation.iov, operation.iov_count,
                             operation.offset);
      }
      entry->rw_flags = static_cast<int>(operation.mode);
      return;
    case IoOpcode::kFsync:
      io_uring_prep_fsync(entry, operation.fd, IORING_FSYNC_DATASYNC);
      return;
    case IoOpcode::kFallocate:
      io_uring_prep_fallocate(entry, operation.fd, static_cast<int>(operation.mode),
                              static_cast<off_t>(operation.offset),
                              static_cast<off_t>(operation.length));
      return;
    case IoOpcode::kPoll:
      io_uring_prep_poll_add(entry, operation.fd, operation.mode);
      return;
    case IoOpcode::kNop:
      io_uring_prep_nop(entry);
      return;
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<UringPoller>> UringPoller::create(EntrySize entry_size) {
  std::unique_ptr<UringPoller> poller(new UringPoller);
  poller->wake_fd_.reset(::eventfd(0, EFD_CLOEXEC));
  if (!poller->wake_fd_.valid()) return errno_status(errno, "cannot create an eventfd");

  int error = EINVAL;
  for (const unsigned flags : kRingFlags) {
    io_uring_params parameters = {};
    parameters.flags = flags | IORING_SETUP_CQSIZE;
    if (entry_size == EntrySize::k128) parameters.flags |= IORING_SETUP_SQE128;
    parameters.cq_entries = kCompletionEntries;
    error = -io_uring_queue_init_params(kSubmissionEntries, &poller->ring_, &parameters);
    if (error == 0 && (parameters.features & kNeededFeatures) != kNeededFeatures) {
      io_uring_queue_exit(&poller->ring_);
      error = ENOSYS;
    }
    if (error != EINVAL) break;  // EINVAL: an older kernel, which does not know these flags
  }
  if (error != 0) {
    poller->ring_.ring_fd = -1;
    return errno_status(error, "cannot create an io_uring");
  }
  return poller;
}

UringPoller::~UringPoller() {
  if (ring_.ring_fd >= 0) io_uring_queue_exit(&ring_);
}

void UringPoller::submit(IoOperation* operation) { enqueue({operation, /*cancel=*/false}); }

void UringPoller::cancel(IoOperation* operation) { enqueue({operation, /*cancel=*/true}); }

void UringPoller::enqueue(Queued queued) {
  if (!backlog_.empty() || !prepare(queued)) backlog_.push_back(queued);
}

io_uring_sqe* UringPoller::free_entry() {
  if (io_uring_sqe* const entry = io_uring_get_sqe(&ring_)) return entry;
  io_uring_submit(&ring_);
  return io_uring_get_sqe(&ring_);
}

bool UringPoller::prepare(const Queued& queued) {
  io_uring_sqe* const entry = free_entry();
  if (entry == nullptr) return false;
  if (queued.cancel) {
    io_uring_prep_cancel(entry, queued.operation, 0);
    io_uring_sqe_set_data64(entry, kIgnored);
  } else {
    prepare_operation(entry, *queued.operation);
    io_uring_sqe_set_data(entry, queued.operation);
  }
  return true;
}

void UringPoller::move_backlog() {
  while (!backlog_.empty() && prepare(backlog_.front())) backlog_.pop_front();
}

bool UringPoller::kernel_wants_entry() const {
  return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void UringPoller::flush() {
  move_backlog();
  // A failure leaves the entries in the queue; the next flush() or wait() tries again.
  if (io_uring_sq_ready(&ring_) != 0) {
    io_uring_submit_and_get_events(&ring_);
  } else if (kernel_wants_entry()) {
    io_uring_get_events(&ring_);
  }
}

IoOperation* UringPoller::reap() {
  IoOperation* first = nullptr;
  IoOperation** last = &first;
  while (io_uring_cq_ready(&ring_) != 0) {
    std::array<io_uring_cqe*, kReapBatch> batch;
    const unsigned count = io_uring_peek_batch_cqe(&ring_, batch.data(), kReapBatch);
    for (unsigned i = 0; i < count; ++i) {
      const uint64_t data = batch[i]->user_data;
      if (data == kWake) {
        wake_armed_ = false;
      } else if (data != kIgnored) {
        auto* const operation = static_cast<IoOperation*>(io_uring_cqe_get_data(batch[i]));
        operation->result = batch[i]->res;
        operation->next = nullptr;
        *last = operation;
        last = &operation->next;
      }
    }
    io_uring_cq_advance(&ring_, count);
  }
  return first;
}

bool UringPoller::may_sleep() const {
  return io_uring_cq_ready(&ring_) == 0 && !kernel_wants_entry();
}

bool UringPoller::arm_wake() {
  if (wake_armed_) return true;
  io_uring_sqe* const entry = free_entry();
  if (entry == nullptr) return false;
  io_uring_prep_read(entry, wake_fd_.get(), &wake_count_, sizeof(wake_count_), 0);
  io_uring_sqe_set_data64(entry, kWake);
  wake_armed_ = true;
  return true;
}

void UringPoller::wait(Nanoseconds timeout) {
  move_backlog();
  // Without its wake-up armed, or with operations that the kernel does not take yet, it must not
  // sleep.
  if (!arm_wake() || !backlog_.empty()) timeout = Nanoseconds::zero();
  io_uring_cqe* ignored = nullptr;
  if (timeout < Nanoseconds::zero()) {
    io_uring_submit_and_wait(&ring_, 1);
    return;
  }
  constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
  __kernel_timespec limit = {timeout.count() / kNanosecondsPerSecond,
                             timeout.count() % kNanosecondsPerSecond};
  io_uring_submit_and_wait_timeout(&ring_, &ignored, 1, &limit, nullptr);
}

void UringPoller::wake() {
  const uint64_t one = 1;
  // It fails only when the counter is full, and then the sleep ends anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_fd_.get(), &one, sizeof(one));
}

Nanoseconds UringPoller::now() const { return std::chrono::steady_clock::now().time_since_epoch(); }

}  // namespace penstock

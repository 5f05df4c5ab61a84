// SPDX-License-Identifier: Apache-2.0
#include "control/partition_probe.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/status.h"
#include "control/run_program.h"
#include "iothreads/aio_context.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr size_t kMaxAnswer = 1 << 20;  // bytes
constexpr std::chrono::seconds kTimeLimit{5};
// Who looks cannot be killed while it waits.
constexpr std::chrono::seconds kLongestWait{15};

// The processes read a mount of this server, which may need any thread of the shared pool.
ThreadPool& own_threads() {
  static ThreadPool* const pool = new ThreadPool(PartitionProbe::kAtOnce);  // outlives every thread
  return *pool;
}

}  // namespace

// Somebody who waits for its turn. It is on the waiter's stack, and in `waiting_` until it has the
// turn.
struct PartitionProbe::Waiter {
  CoEvent woken;
  bool has_turn = false;
};

PartitionProbe::PartitionProbe(std::string program)
    : program_(std::move(program)), stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

absl::StatusOr<PartitionTable> PartitionProbe::co_probe(const std::string& path, uint64_t disk_size,
                                                        uint32_t sector_size) {
  if (!stop_.valid()) return errno_message(EMFILE, "there was no descriptor left for it");
  if (const absl::Status status = co_take_turn(); !status.ok()) return status;
  absl::StatusOr<PartitionTable> table =
      own_threads().co_run([&] { return run(path, sector_size); });
  give_turn();
  if (table.ok()) confine_partitions(*table, disk_size);
  return table;
}

absl::StatusOr<PartitionTable> PartitionProbe::run(const std::string& path, uint32_t sector_size) {
  const absl::StatusOr<ProgramResult> result = run_program(
      {program_, "probe-partitions", "--sector-size=" + std::to_string(sector_size), path},
      {.output = kMaxAnswer, .time = kTimeLimit, .stop_fd = stop_.get()});
  if (!result.ok()) return result.status();
  if (result->exit_status != 0) {
    return errno_message(EIO, "its process ended with status " +
                                  std::to_string(result->exit_status) + ": " + result->output);
  }
  const nlohmann::json answer = nlohmann::json::parse(result->output, nullptr, false);
  return partition_table_from_json(answer);
}

absl::Status PartitionProbe::co_take_turn() {
  if (!cancelled_ && running_ < kAtOnce) {
    ++running_;
    return absl::OkStatus();
  }
  Waiter self;
  if (!cancelled_) {
    waiting_.push_back(&self);
    self.woken.co_wait_until(AioContext::current()->now() + kLongestWait);
    if (self.has_turn) return absl::OkStatus();
    waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &self));
  }
  if (cancelled_) return errno_message(ECANCELED, "nobody wants to know any more");
  return errno_message(EAGAIN, "too many others are being looked into");
}

// The turn goes over to who came first.
void PartitionProbe::give_turn() {
  if (cancelled_ || waiting_.empty()) {
    --running_;
    return;
  }
  Waiter* const next = waiting_.front();
  waiting_.pop_front();
  next->has_turn = true;
  next->woken.set();
}

void PartitionProbe::cancel() {
  if (cancelled_) return;
  cancelled_ = true;
  if (stop_.valid()) ::eventfd_write(stop_.get(), 1);
  for (Waiter* waiter : waiting_) waiter->woken.set();
}

}  // namespace penstock

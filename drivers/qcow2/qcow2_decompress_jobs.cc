// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_decompress_jobs.h"

#include <algorithm>
#include <memory>
#include <thread>
#include <utility>

#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

struct JobSet {
  const size_t count;
  const std::function<void(size_t)> job;
  std::atomic<size_t> next{0};
};

size_t processors() {
  static const size_t count = std::max(1U, std::thread::hardware_concurrency());
  return count;
}

}  // namespace

void Qcow2DecompressJobs::start(size_t count, std::function<void(size_t)> job) {
  const auto set = std::make_shared<JobSet>(count, std::move(job));
  const size_t workers = std::min(count, processors());
  running_.fetch_add(workers, std::memory_order_relaxed);
  for (size_t worker = 0; worker < workers; ++worker) {
    ThreadPool::shared().submit([this, set] {
      for (size_t i = set->next++; i < set->count; i = set->next++) set->job(i);
      leave();
    });
  }
}

void Qcow2DecompressJobs::co_wait_all() {
  leave();
  finished_.co_wait();
}

void Qcow2DecompressJobs::leave() {
  if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) finished_.set();
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "tests/block/graph/request_load.h"

#include <cstdlib>
#include <thread>

#include "base/status.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {

RequestLoad::~RequestLoad() {
  if (running_ != 0) std::abort();
}

void RequestLoad::start_worker(AioContext& context, unsigned block) {
  ++running_;
  context.spawn("load", [this, block] {
    assert_in_coroutine();
    co_work(block);
  });
}

void RequestLoad::co_work(unsigned block) {
  uint64_t value = storage_.current[block].load();
  for (uint64_t round = 0; !stop_; ++round) {
    ++issued_;
    ++value;
    absl::Status status = co_write_block(backend_, block, value);
    ++answered_;
    ++writes_;
    if (!status.ok()) note_failure(status_text(status));

    ++issued_;
    absl::StatusOr<uint64_t> read = co_read_block(backend_, block);
    ++answered_;
    if (!read.ok()) {
      note_failure(status_text(read.status()));
    } else if (*read != value) {
      note_failure("read " + std::to_string(*read) + " instead of " + std::to_string(value));
    }

    if (round % 4 == 0) {
      ++issued_;
      status = co_flush_all(backend_);
      ++answered_;
      if (!status.ok()) note_failure(status_text(status));
      if (storage_.durable[block].load() < value) {
        note_failure("a flush was acknowledged before a write that came earlier");
      }
    }
    co_pause();
  }
  // Last: the object may go right after.
  --running_;
}

void RequestLoad::stop_and_wait() {
  stop();
  while (!stopped()) std::this_thread::yield();
}

void RequestLoad::note_failure(const std::string& text) {
  ++failures_;
  ThreadLock lock(mutex_);
  if (first_failure_.empty()) first_failure_ = text;
}

std::string RequestLoad::first_failure() {
  ThreadLock lock(mutex_);
  return first_failure_;
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// Requests through a backend, and coroutines to run them in, for tests of the block layer.
//
// Ownership: see each class.
// Threads: co_* in a coroutine; the rest on the test's thread.
// Errors: those of the requests; a coroutine that does not end fails the test.
// Invariants: none.
#pragma once

#include <functional>
#include <latch>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "gtest/gtest.h"
#include "iothreads/fake_world.h"
#include "iothreads/iothread.h"

namespace penstock {

using Bytes = std::vector<std::byte>;

inline Bytes filled(size_t length, int value) {
  return Bytes(length, static_cast<std::byte>(value));
}

inline Bytes random_bytes(std::mt19937_64& random, size_t length) {
  Bytes bytes(length);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

inline absl::Status co_write_bytes(Backend& backend, uint64_t offset, const Bytes& bytes,
                                   RequestFlags flags = kNoFlags) COROUTINE_CODE {
  BackendRequest request(backend, "write", offset, bytes.size());
  if (!request.status().ok()) return request.status();
  const iovec memory = iovec_of(std::span<const std::byte>(bytes));
  return co_pwritev(request.root(), offset, IoVector(memory), flags);
}

inline absl::StatusOr<Bytes> co_read_bytes(Backend& backend, uint64_t offset,
                                           uint64_t length) COROUTINE_CODE {
  BackendRequest request(backend, "read", offset, length);
  if (!request.status().ok()) return request.status();
  Bytes bytes(length, std::byte{0xee});
  const iovec memory = iovec_of(std::span<std::byte>(bytes));
  if (auto status = co_preadv(request.root(), offset, IoVector(memory)); !status.ok()) {
    return status;
  }
  return bytes;
}

inline absl::Status co_zero_bytes(Backend& backend, ByteRange range,
                                  RequestFlags flags = kNoFlags) COROUTINE_CODE {
  BackendRequest request(backend, "zeroing", range.offset, range.length);
  if (!request.status().ok()) return request.status();
  return co_write_zeroes(request.root(), range, flags);
}

inline absl::Status co_discard_bytes(Backend& backend, ByteRange range) COROUTINE_CODE {
  BackendRequest request(backend, "discard", range.offset, range.length);
  if (!request.status().ok()) return request.status();
  return co_discard(request.root(), range);
}

inline absl::Status co_flush_backend(Backend& backend) COROUTINE_CODE {
  BackendRequest request(backend, "flush", 0, 0);
  if (!request.status().ok()) return request.status();
  return co_flush(request.root());
}

inline absl::Status co_resize_backend(Backend& backend, uint64_t size) COROUTINE_CODE {
  BackendRequest request(backend, "resize", 0, size);
  if (!request.status().ok()) return request.status();
  return co_resize(request.root(), size);
}

inline absl::StatusOr<BlockStatus> co_status_of(Backend& backend, ByteRange range) COROUTINE_CODE {
  BackendRequest request(backend, "block status", range.offset, range.length);
  if (!request.status().ok()) return request.status();
  return co_block_status(request.root(), range);
}

// Starts `function` in a coroutine of a fake world's context; `done` tells its end.
inline std::shared_ptr<bool> start_in(AioContext& context, std::function<void()> function) {
  auto done = std::make_shared<bool>(false);
  context.spawn("test", [done, function = std::move(function)] {
    function();
    *done = true;
  });
  return done;
}

// Runs `function` to its end.
inline void run_in(FakeWorld& world, unsigned context, std::function<void()> function) {
  const auto done = start_in(world.context(context), std::move(function));
  ASSERT_TRUE(world.run_until([&] { return *done; })) << "the coroutine did not end";
}

// Turns every context until nothing moves.
inline void settle(FakeWorld& world) {
  while (world.step()) {
  }
}

// Real threads. Coroutine i of `count` runs on thread i modulo their number.
class TestThreads {
 public:
  explicit TestThreads(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) {
      auto thread = IoThread::start("test" + std::to_string(i));
      if (!thread.ok()) {
        ADD_FAILURE() << thread.status();
        continue;
      }
      threads_.push_back(*std::move(thread));
    }
  }

  void run(unsigned count, const std::function<void(unsigned)>& function) {
    std::latch ended(count);
    for (unsigned i = 0; i < count; ++i) {
      threads_[i % threads_.size()]->context().spawn("test", [&, i] {
        function(i);
        ended.count_down();
      });
    }
    ended.wait();
  }

  AioContext& context(unsigned index) { return threads_[index]->context(); }

 private:
  std::vector<std::unique_ptr<IoThread>> threads_;
};

}  // namespace penstock

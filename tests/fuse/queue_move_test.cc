// SPDX-License-Identifier: Apache-2.0
// An export's queues move to other threads while it is used: nothing fails, is lost or repeated.
#include <dirent.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <fstream>
#include <random>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/sync_point.h"
#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;

constexpr int kLoaders = 4;
constexpr size_t kBlock = 4096;

class QueueMove : public MountedTest {
 protected:
  void SetUp() override {
    MountedTest::SetUp();
    if (IsSkipped()) return;
    while (threads_.size() < 4) add_thread(Engine::kAuto);
  }

  void add_thread(Engine engine) {
    threads_.push_back(*IoThread::start("io" + std::to_string(threads_.size()), engine));
  }

  // Moves the queues to these of the threads.
  absl::Status move_to(const std::vector<size_t>& threads,
                       Nanoseconds limit = FuseExport::kQueueLimit) {
    return run_sync(control_->context(), [&] {
      assert_control_thread();
      assert_in_coroutine();
      std::vector<std::shared_ptr<AioContext>> contexts;
      for (const size_t thread : threads) contexts.push_back(threads_[thread]->share_context());
      return export_->co_set_queues(contexts, limit);
    });
  }

  void must_move_to(const std::vector<size_t>& threads) {
    const absl::Status status = move_to(threads);
    ASSERT_TRUE(status.ok()) << status_text(status);
  }

  // Counts reads and writes by the slot of the context where they run. Before start().
  void count_by_context() {
    const auto count = [this](ByteRange) {
      by_slot_[AioContext::current()->slot()].fetch_add(1, std::memory_order_relaxed);
      return absl::OkStatus();
    };
    driver_->before_read = count;
    driver_->before_write = count;
  }
  uint64_t served_by(size_t thread) { return by_slot_[threads_[thread]->context().slot()].load(); }

  // Reads on one thread wait for resume_.
  void suspend_reads_on(size_t thread) {
    driver_->before_read = [this, slot = threads_[thread]->context().slot()](ByteRange) {
      assert_in_coroutine();
      if (AioContext::current()->slot() != slot) return absl::OkStatus();
      suspended_.set();
      resume_.co_wait();
      return absl::OkStatus();
    };
  }
  // A byte, in a thread of its own.
  static std::thread start_reader(const UniqueFd& file) {
    return std::thread([fd = file.get()] {
      char byte = 0;
      EXPECT_EQ(pread(fd, &byte, 1, 0), 1) << strerror(errno);
    });
  }
  void wait_for(CoEvent& event) {
    on_control([&event] {
      assert_in_coroutine();
      event.co_wait();
    });
  }

  // Runs `meanwhile` while threads write and verify their own quarters of the disk. Each of their
  // calls is one request, and reaches the driver once.
  void under_load(const std::function<void()>& meanwhile) {
    const uint64_t reads = driver_->reads.load();
    const uint64_t writes = driver_->writes.load();
    std::atomic<bool> done{false};
    std::vector<std::thread> loaders;
    for (int i = 0; i < kLoaders; ++i) {
      loaders.emplace_back([this, i, &done] { write_and_verify(i, done); });
    }
    meanwhile();
    done = true;
    for (std::thread& loader : loaders) loader.join();
    EXPECT_EQ(driver_->reads.load() - reads, reads_asked_.load());
    EXPECT_EQ(driver_->writes.load() - writes, writes_asked_.load());
    const auto content = driver_->bytes();
    for (int i = 0; i < kLoaders; ++i) {
      EXPECT_EQ(memcmp(content.data() + i * kQuarter, expected_[i].data(), kQuarter), 0) << i;
    }
    EXPECT_GT(reads_asked_.load(), 0u);
    EXPECT_GT(writes_asked_.load(), 0u);
  }

  static constexpr size_t kQuarter = kSize / kLoaders;

  void write_and_verify(int index, const std::atomic<bool>& done) {
    std::vector<std::byte>& expected = expected_[index];
    expected.assign(kQuarter, std::byte{0});
    const UniqueFd fd = open_file(O_RDWR | O_DIRECT);
    std::mt19937_64 random(index);
    AlignedBuffer buffer(16 * kBlock, kBlock);
    while (!done) {
      const size_t length = (random() % 16 + 1) * kBlock;
      const size_t offset = random() % ((kQuarter - length) / kBlock + 1) * kBlock;
      const off_t at = static_cast<off_t>(index * kQuarter + offset);
      if (random() % 2 == 0) {
        const auto data = pattern_bytes(length, random());
        memcpy(expected.data() + offset, data.data(), length);
        memcpy(buffer.data(), data.data(), length);
        writes_asked_.fetch_add(1, std::memory_order_relaxed);
        ASSERT_EQ(pwrite(fd.get(), buffer.data(), length, at), static_cast<ssize_t>(length))
            << strerror(errno);
      } else {
        reads_asked_.fetch_add(1, std::memory_order_relaxed);
        ASSERT_EQ(pread(fd.get(), buffer.data(), length, at), static_cast<ssize_t>(length))
            << strerror(errno);
        ASSERT_EQ(memcmp(buffer.data(), expected.data() + offset, length), 0) << at;
      }
    }
  }

  // Random sets of threads, each of another size than the one before.
  void move_at_random(int rounds) {
    std::mt19937 random(rounds);
    std::vector<size_t> order = {0, 1, 2, 3};
    size_t size = 2;
    for (int round = 0; round < rounds && !HasFatalFailure(); ++round) {
      std::shuffle(order.begin(), order.end(), random);
      size = (size + random() % 3) % 4 + 1;
      must_move_to({order.begin(), order.begin() + static_cast<long>(size)});
    }
  }

  static size_t open_descriptors() {
    size_t count = 0;
    DIR* const directory = opendir("/proc/self/fd");
    while (readdir(directory) != nullptr) ++count;
    closedir(directory);
    return count;
  }

  std::array<std::atomic<uint64_t>, kMaxContexts> by_slot_{};
  std::array<std::vector<std::byte>, kLoaders> expected_;
  std::atomic<uint64_t> reads_asked_{0};
  std::atomic<uint64_t> writes_asked_{0};
  CoEvent suspended_;
  CoEvent resume_;
};

TEST_F(QueueMove, AnyNumberOfQueuesMovesUnderLoadAndEveryRequestIsServedOnce) {
  start();
  under_load([this] { move_at_random(250); });
}

TEST_F(QueueMove, OneQueueBecomesFourAndOneAgainUnderLoad) {
  start();
  under_load([this] {
    for (size_t round = 0; round < 50 && !HasFatalFailure(); ++round) {
      must_move_to({round % 4});
      must_move_to({3, 2, 1, 0});
    }
  });
}

TEST_F(QueueMove, QueuesThatShareADescriptorMoveUnderLoad) {
  host_.clone_error = EACCES;
  start();
  under_load([this] { move_at_random(100); });
  EXPECT_TRUE(move_to({0, 1}).ok());
  EXPECT_NE(export_->clone_failure().find("Permission denied"), std::string::npos);
  // A later move finds that clones can be had again.
  host_.clone_error = 0;
  EXPECT_TRUE(move_to({2, 3}).ok());
  EXPECT_EQ(export_->clone_failure(), "");
  EXPECT_EQ(read_at(open_file(O_RDONLY).get(), 1, 0).size(), 1u);
}

TEST_F(QueueMove, QueuesMoveWithoutIoUringAndBetweenEngines) {
  threads_.clear();
  for (const Engine engine : {Engine::kThreads, Engine::kThreads, Engine::kAuto, Engine::kAuto}) {
    add_thread(engine);
  }
  start();
  under_load([this] { move_at_random(100); });
}

TEST_F(QueueMove, AfterAMoveTheNewThreadsServeAndTheOldOnesMayEnd) {
  count_by_context();
  start();
  must_move_to({2});
  const uint64_t before = served_by(0) + served_by(1) + served_by(3);
  const UniqueFd fd = open_file(O_RDWR);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(pwrite(fd.get(), "abc", 3, i), 3);
  EXPECT_EQ(served_by(0) + served_by(1) + served_by(3), before);
  EXPECT_GE(served_by(2), 20u);
  threads_[0].reset();
  threads_[1].reset();
  EXPECT_EQ(read_at(fd.get(), 3, 19).size(), 3u);
  add_thread(Engine::kAuto);
  must_move_to({4, 3});
  threads_[2].reset();
  EXPECT_EQ(read_at(fd.get(), 3, 19).size(), 3u);
  std::erase(threads_, nullptr);
}

TEST_F(QueueMove, MovesLeaveNoDescriptorsBehind) {
  start();
  const size_t before = open_descriptors();  // the session's and three clones
  for (int round = 0; round < 10; ++round) {
    must_move_to({2, 3});
    EXPECT_EQ(open_descriptors(), before - 1);
    must_move_to({0, 1, 2, 3});
    EXPECT_EQ(open_descriptors(), before);
  }
  must_move_to({1});
  EXPECT_EQ(open_descriptors(), before - 2);
}

TEST_F(QueueMove, AMoveToWhereTheQueuesAreChangesNothing) {
  start();
  must_move_to({0, 1});
  const size_t before = open_descriptors();
  host_.clone_error = EACCES;  // nothing is cloned
  must_move_to({1, 0});
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(export_->clone_failure(), "");
}

TEST_F(QueueMove, ASuspendedRequestIsAnsweredByItsOldQueueWhileTheNewOneServes) {
  suspend_reads_on(0);
  start();
  must_move_to({0});
  const UniqueFd fd = open_file(O_RDWR);
  std::thread reader = start_reader(fd);
  wait_for(suspended_);
  std::atomic<bool> moved{false};
  std::thread mover([&] {
    must_move_to({1});
    moved = true;
  });
  // Served by the new queue alone: the old one suspends each read.
  char byte = 0;
  do {
    ASSERT_EQ(pwrite(fd.get(), "x", 1, 100), 1);
  } while (driver_->writes.load() < 20);
  EXPECT_FALSE(moved);
  resume_.set();
  mover.join();
  reader.join();
  EXPECT_EQ(pread(fd.get(), &byte, 1, 100), 1);
  EXPECT_EQ(byte, 'x');
}

TEST_F(QueueMove, AMoveThatARequestHoldsUpIsGivenUpAndTheOldQueuesServeOn) {
  count_by_context();
  start();
  suspend_reads_on(0);
  must_move_to({0});
  const UniqueFd fd = open_file(O_RDWR);
  std::thread reader = start_reader(fd);
  wait_for(suspended_);
  for (int round = 0; round < 3; ++round) {
    const absl::Status status = move_to({1, 2}, milliseconds(30));
    EXPECT_EQ(status_errno(status), ETIMEDOUT) << status;
    const uint64_t others = served_by(1) + served_by(2);
    const uint64_t writes = served_by(0);
    for (int i = 0; i < 10; ++i) ASSERT_EQ(pwrite(fd.get(), "abc", 3, 512), 3);
    EXPECT_EQ(served_by(0), writes + 10);
    EXPECT_EQ(served_by(1) + served_by(2), others);
  }
  resume_.set();
  reader.join();
  must_move_to({1, 2});
  threads_[0].reset();
  std::erase(threads_, nullptr);
  EXPECT_EQ(read_at(fd.get(), 3, 512).size(), 3u);
}

// Both the old queues and the new ones hold requests that do not end.
TEST_F(QueueMove, AfterAMoveWasGivenUpANewQueueStillAnswersWhatItTook) {
  start();
  std::atomic<unsigned> waiting{0};
  CoEvent both;
  driver_->before_read = [&](ByteRange) {
    assert_in_coroutine();
    suspended_.set();
    if (++waiting == 2) both.set();
    resume_.co_wait();
    return absl::OkStatus();
  };
  must_move_to({0});
  const UniqueFd fd = open_file(O_RDWR);
  const auto read_one = [&] {
    char byte = 0;
    EXPECT_EQ(pread(fd.get(), &byte, 1, 0), 1) << strerror(errno);
  };
  std::thread first(read_one);
  wait_for(suspended_);
  std::thread mover([&] { EXPECT_EQ(status_errno(move_to({1}, milliseconds(300))), ETIMEDOUT); });
  std::thread second(read_one);
  wait_for(both);
  mover.join();
  ASSERT_EQ(pwrite(fd.get(), "abc", 3, 512), 3);
  resume_.set();
  first.join();
  second.join();
  must_move_to({2, 3});
}

TEST_F(QueueMove, MovesThatMeetFollowEachOther) {
  count_by_context();
  start();
  under_load([this] {
    std::vector<std::thread> movers;
    for (size_t i = 0; i < 4; ++i) {
      movers.emplace_back([this, i] {
        for (size_t round = 0; round < 10; ++round) must_move_to({i, (i + 1 + round % 3) % 4});
      });
    }
    for (std::thread& mover : movers) mover.join();
  });
}

TEST_F(QueueMove, AfterAnUnmountTheQueuesStay) {
  start();
  ASSERT_EQ(umount2(directory_.c_str(), UMOUNT_NOFOLLOW), 0);
  wait_for(export_->ended());
  EXPECT_EQ(status_errno(move_to({2, 3})), ESHUTDOWN);
  EXPECT_TRUE(stop().ok());
}

#if defined(PENSTOCK_SYNC_POINTS)
// The connection is gone just when new queues serve and old ones are to leave.
TEST_F(QueueMove, AnUnmountInTheMiddleOfAMoveEndsBothOldAndNewQueues) {
  for (const bool forced : {false, true}) {
    start();
    {
      const SyncPointCallback unmount("queue_set:started", [&] {
        EXPECT_EQ(umount2(directory_.c_str(), UMOUNT_NOFOLLOW | (forced ? MNT_FORCE : 0)), 0);
      });
      EXPECT_TRUE(move_to({2, 3}).ok());
    }
    wait_for(export_->ended());
    EXPECT_TRUE(stop().ok());
  }
}

TEST_F(QueueMove, ARequestInFlightWhenTheConnectionIsAbortedEndsTheMoveAndTheSession) {
  suspend_reads_on(0);
  start();
  must_move_to({0});
  UniqueFd fd = open_file(O_RDONLY);
  std::thread reader([&] {
    char byte = 0;
    const int error = error_of(pread(fd.get(), &byte, 1, 0));
    EXPECT_TRUE(error == ECONNABORTED || error == ENOTCONN) << strerror(error);
  });
  wait_for(suspended_);
  CoEvent moving;
  const SyncPointCallback at_start("queue_set:started", [&moving] { moving.set(); });
  std::thread mover([&] { must_move_to({1, 2}); });
  wait_for(moving);
  // Fails, since the file is open, but aborts the connection first.
  EXPECT_EQ(error_of(umount2(directory_.c_str(), UMOUNT_NOFOLLOW | MNT_FORCE)), EBUSY);
  reader.join();
  EXPECT_FALSE(export_->ended().is_set());
  resume_.set();
  mover.join();
  fd.reset();
  wait_for(export_->ended());
  EXPECT_TRUE(stop().ok());
}

TEST_F(QueueMove, AStopDuringAMoveWaitsForItAndLetsNoOtherOneBegin) {
  suspend_reads_on(0);
  start();
  must_move_to({0});
  const UniqueFd fd = open_file(O_RDONLY);
  std::thread reader = start_reader(fd);
  wait_for(suspended_);
  std::atomic<bool> moved{false};
  std::thread mover([&] {
    EXPECT_TRUE(move_to({1, 2}).ok());
    moved = true;
  });
  CoEvent ending;
  const SyncPointCallback at_end("queue_set:ending", [&ending] { ending.set(); });
  std::thread stopper([&] { EXPECT_TRUE(stop(milliseconds(20)).ok()); });
  wait_for(ending);
  std::atomic<bool> asked{false};
  std::thread late_mover([&] {
    on_control([&] {
      assert_control_thread();
      assert_in_coroutine();
      asked = true;  // the control thread does nothing else before the next line waits
      EXPECT_EQ(status_errno(export_->co_set_queues({threads_[3]->share_context()})), ESHUTDOWN);
    });
  });
  while (!asked) std::this_thread::yield();
  EXPECT_FALSE(moved);
  EXPECT_FALSE(export_->ended().is_set());
  resume_.set();
  reader.join();
  mover.join();
  late_mover.join();
  stopper.join();
}
#endif

TEST_F(QueueMove, AStopWhileAMoveIsGivenUpEndsAll) {
  suspend_reads_on(0);
  start();
  must_move_to({0});
  const UniqueFd fd = open_file(O_RDONLY);
  std::thread reader = start_reader(fd);
  wait_for(suspended_);
  std::thread stopper([&] { EXPECT_TRUE(stop(milliseconds(0)).ok()); });
  for (const int limit : {1, 20, 60}) {
    const int error = status_errno(move_to({1, 2}, milliseconds(limit)));
    EXPECT_TRUE(error == ETIMEDOUT || error == ESHUTDOWN) << error;
  }
  resume_.set();
  reader.join();
  stopper.join();
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_F(QueueMove, AQueueThatCannotBeMadeLeavesTheOldOnesServing) {
  count_by_context();
  start();
  must_move_to({0});
  const size_t before = open_descriptors();
  rlimit former = {};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &former), 0);
  size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  // Room for one queue's memory of 257 MiB, and not for three.
  const rlimit tight = {pages * kBlock + (rlim_t{500} << 20), former.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  const absl::Status status = move_to({1, 2, 3});
  ASSERT_EQ(setrlimit(RLIMIT_AS, &former), 0);
  EXPECT_EQ(status_errno(status), ENOMEM) << status;
  EXPECT_EQ(open_descriptors(), before);
  const uint64_t served = served_by(0);
  const UniqueFd fd = open_file(O_RDWR);
  for (int i = 0; i < 10; ++i) ASSERT_EQ(pwrite(fd.get(), "abc", 3, 0), 3);
  EXPECT_EQ(served_by(0), served + 10);
  must_move_to({1, 2, 3});
}
#endif

}  // namespace
}  // namespace penstock

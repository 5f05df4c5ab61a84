// SPDX-License-Identifier: Apache-2.0
// A backup under writers on several threads has exactly one moment of all of them.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "iothreads/co_sleep.h"
#include "iothreads/coroutine.h"
#include "tests/control/job_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr unsigned kWriters = 4;
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kBlocksOfOne = 512;
constexpr uint64_t kSize = kWriters * kBlocksOfOne * kBlock;
constexpr Permissions kUser{kConsistentRead | kWrite | kWriteUnchanged, kAllPermissions};

// Where the nth write of a writer goes; neighbours belong to different writers.
uint64_t offset_of(unsigned writer, uint64_t n) {
  return (((n * 37) % kBlocksOfOne) * kWriters + writer) * kBlock;
}

// One write after the other, each with its number; when each began and ended by a common clock.
struct Writer {
  std::vector<uint64_t> begun{0};  // by n, from 1
  std::vector<uint64_t> ended{0};
  std::string error;
};

class BackupLoadTest : public ControlJobFixture {
 protected:
  void co_write_on(Backend& backend, unsigned index, Writer& writer) COROUTINE_CODE {
    std::vector<uint64_t> block(kBlock / sizeof(uint64_t));
    while (!stop_.load()) {
      const uint64_t n = writer.begun.size();
      std::fill(block.begin(), block.end(), n);
      writer.begun.push_back(++clock_);
      const absl::Status status = co_write_block(backend, offset_of(index, n), block);
      writer.ended.push_back(++clock_);
      if (!status.ok()) {
        writer.error = status_text(status);
        return;
      }
      // What is written inline does not yield, and the loop has to turn.
      co_pause();
    }
  }

  static absl::Status co_write_block(Backend& backend, uint64_t offset,
                                     const std::vector<uint64_t>& block) COROUTINE_CODE {
    BackendRequest request(backend, "write", offset, kBlock);
    if (!request.status().ok()) return request.status();
    const iovec segment = iovec_of(std::as_bytes(std::span<const uint64_t>(block)));
    return co_pwritev(request.root(), offset, IoVector(segment));
  }

  // The number of the last write of the writer that the copy has. All before it must be there too.
  static uint64_t last_write(const TestFile& copy, unsigned writer) {
    std::vector<uint64_t> numbers;
    for (uint64_t i = 0; i < kBlocksOfOne; ++i) {
      const std::vector<std::byte> block = copy.read(offset_of(writer, i), kBlock);
      uint64_t number = 0;
      std::memcpy(&number, block.data(), sizeof number);
      for (size_t at = 0; at < kBlock; at += sizeof number) {
        uint64_t word = 0;
        std::memcpy(&word, block.data() + at, sizeof word);
        EXPECT_EQ(word, number) << "a torn block";
      }
      numbers.push_back(number);
    }
    const uint64_t last = *std::max_element(numbers.begin(), numbers.end());
    for (uint64_t i = 0; i < kBlocksOfOne; ++i) {
      // The newest n <= last with n = i modulo the number of blocks.
      const uint64_t wanted = last < i ? 0 : last - (last - i) % kBlocksOfOne;
      EXPECT_EQ(numbers[i], wanted) << "writer " << writer << ", block " << i << " of " << last;
    }
    return last;
  }

  // Everything in it had begun before anything that is not in it had ended.
  void expect_one_moment(const std::vector<const TestFile*>& copies,
                         const std::vector<std::vector<Writer>*>& disks) {
    uint64_t newest_inside = 0;
    uint64_t oldest_outside = UINT64_MAX;
    for (size_t disk = 0; disk < copies.size(); ++disk) {
      for (unsigned i = 0; i < kWriters; ++i) {
        const Writer& writer = (*disks[disk])[i];
        EXPECT_EQ(writer.error, "");
        const uint64_t last = last_write(*copies[disk], i);
        newest_inside = std::max(newest_inside, writer.begun[last]);
        if (last + 1 < writer.ended.size()) {
          oldest_outside = std::min(oldest_outside, writer.ended[last + 1]);
        }
      }
    }
    EXPECT_LT(newest_inside, oldest_outside);
  }

  void start_writers(Backend& backend, std::vector<Writer>& writers) {
    for (unsigned i = 0; i < kWriters; ++i) {
      if (threads_.size() <= i) {
        auto thread = IoThread::start("writer");
        ASSERT_TRUE(thread.ok());
        threads_.push_back(*std::move(thread));
      }
      threads_[i]->context().spawn("writer", [this, &backend, i, &writer = writers[i]] {
        assert_in_coroutine();
        co_write_on(backend, i, writer);
        --running_;
      });
      ++running_;
    }
  }
  void stop_writers() {
    stop_ = true;
    while (running_.load() != 0) std::this_thread::yield();
  }
  void sleep_on_control(Nanoseconds time) {
    on_control([&] {
      assert_in_coroutine();
      co_sleep(time);
    });
  }

  std::atomic<uint64_t> clock_{0};
  std::atomic<bool> stop_{false};
  std::atomic<unsigned> running_{0};
  std::vector<std::unique_ptr<IoThread>> threads_;
};

TEST_F(BackupLoadTest, TheCopyIsTheDiskAtOneMoment) {
  add_disk("disk", kSize);
  std::vector<Writer> writers(kWriters);
  start_writers(attach("user", "disk", kUser), writers);
  std::vector<const TestFile*> copies;
  for (int round = 0; round < 5; ++round) {
    const std::string target = "copy" + std::to_string(round);
    copies.push_back(&add_disk(target, kSize));
    const uint64_t before = clock_;
    // Slow at first, so that most is overwritten before its turn comes.
    must("blockdev-backup", {{"job-id", "b"},
                             {"device", "disk"},
                             {"target", target},
                             {"sync", "full"},
                             {"speed", 1 << 20},
                             {"x-perf", {{"max-chunk", 64 << 10}}}});
    sleep_on_control(std::chrono::milliseconds(50));
    // Unless the writers have made it copy everything already.
    (void)run("block-job-set-speed", {{"device", "b"}, {"speed", 0}});
    EXPECT_FALSE(wait_event("BLOCK_JOB_COMPLETED", "b").contains("error"));
    wait_status("b", "null");
    EXPECT_GT(clock_, before) << "the writers stood still";
  }
  stop_writers();
  for (const TestFile* copy : copies) expect_one_moment({copy}, {&writers});
}

TEST_F(BackupLoadTest, SeveralDisksOfATransactionHaveOneMomentTogether) {
  std::vector<std::vector<Writer>> writers(2, std::vector<Writer>(kWriters));
  std::vector<const TestFile*> copies;
  Json actions = Json::array();
  for (const char* disk : {"one", "two"}) {
    const std::string target = std::string(disk) + "-copy";
    add_disk(disk, kSize);
    copies.push_back(&add_disk(target, kSize));
    start_writers(attach(std::string("user of ") + disk, disk, kUser), writers[actions.size()]);
    actions.push_back({{"type", "blockdev-backup"},
                       {"data",
                        {{"job-id", disk},
                         {"device", disk},
                         {"target", target},
                         {"sync", "full"},
                         {"speed", 16 << 20}}}});
  }
  must("transaction", {{"actions", actions}, {"properties", {{"completion-mode", "grouped"}}}});
  wait_status("one", "null");
  wait_status("two", "null");
  EXPECT_EQ(unseen("BLOCK_JOB_COMPLETED"), 2u);
  stop_writers();
  expect_one_moment(copies, {&writers[0], &writers[1]});
}

TEST_F(BackupLoadTest, CancelledAgainAndAgainTheWritersNoticeNothing) {
  add_disk("disk", kSize);
  add_disk("copy", kSize);
  std::vector<Writer> writers(kWriters);
  start_writers(attach("user", "disk", kUser), writers);
  for (int round = 0; round < 10; ++round) {
    must("blockdev-backup", {{"job-id", "b"},
                             {"device", "disk"},
                             {"target", "copy"},
                             {"sync", "full"},
                             {"speed", 8 << 20}});
    sleep_on_control(std::chrono::milliseconds(round * 3));
    (void)run("job-cancel", {{"id", "b"}});
    wait_status("b", "null");
  }
  stop_writers();
  for (const Writer& writer : writers) EXPECT_EQ(writer.error, "");
  EXPECT_EQ(must("query-jobs"), Json::array());
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "block/backend/request_statistics.h"
#include "iothreads/co_sleep.h"
#include "iothreads/control_thread.h"
#include "tests/block/block_test_support.h"
#include "tests/block/memory_driver.h"
#include "tests/block/test_graph.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;
using Counts = std::vector<uint64_t>;

constexpr uint64_t kDisk = 1 << 20;
constexpr uint64_t kBlock = 4096;

std::unique_ptr<LatencyHistogram> histogram_of(std::vector<uint64_t> boundaries) {
  absl::StatusOr<std::unique_ptr<LatencyHistogram>> histogram =
      LatencyHistogram::create(std::move(boundaries));
  EXPECT_TRUE(histogram.ok()) << histogram.status();
  return histogram.ok() ? *std::move(histogram) : nullptr;
}

// One thread plays all contexts; the first one is the control context.
class RequestStatisticsTest : public ::testing::Test {
 protected:
  RequestStatisticsTest() {
    auto driver = std::make_unique<MemoryDriver>(kDisk);
    driver_ = driver.get();
    driver_->before_read = [this](ByteRange) { return co_work(); };
    driver_->before_write = driver_->before_zeroes = driver_->before_read;
    driver_->before_discard = driver_->before_read;
    driver_->before_flush = [this](ByteRange) { return co_work(); };
    backend_ = &graph_.add_backend(graph_.add_node("disk", std::move(driver), kDisk));
  }

  absl::Status co_work() {
    assert_in_coroutine();
    if (takes_ > Nanoseconds(0)) co_sleep(takes_);
    return fails_ ? errno_status(EIO, "the test's wish") : absl::OkStatus();
  }

  // One request from its begin to its end.
  void request(RequestKind kind, ByteRange range, unsigned context = 1) {
    run_in(world_, context, [&] {
      assert_in_coroutine();
      BackendRequest request(*backend_, "test", range.offset, range.length);
      ASSERT_TRUE(request.status().ok());
      Bytes bytes(range.length);
      const iovec memory = iovec_of(std::span<std::byte>(bytes));
      absl::Status status;
      switch (kind) {
        case RequestKind::kRead:
          status = co_preadv(request.root(), range.offset, IoVector(memory));
          break;
        case RequestKind::kWrite:
          status = co_pwritev(request.root(), range.offset, IoVector(memory));
          break;
        case RequestKind::kUnmap:
          status = co_discard(request.root(), range);
          break;
        case RequestKind::kFlush:
          status = co_flush(request.root());
          break;
      }
      request.count(kind, range, status);
    });
  }
  void read(unsigned context = 1) { request(RequestKind::kRead, {0, kBlock}, context); }

  // The fake world's one thread is the control thread too.
  void ask() NO_THREAD_SAFETY_ANALYSIS { backend_->statistics.measure(world_.now()); }
  void set_histogram(RequestKind kind, std::vector<uint64_t> boundaries) NO_THREAD_SAFETY_ANALYSIS {
    auto histogram = boundaries.empty() ? nullptr : histogram_of(std::move(boundaries));
    backend_->statistics.exchange_histogram(kind, std::move(histogram), world_.now()).reset();
  }
  Counts bins(RequestKind kind) NO_THREAD_SAFETY_ANALYSIS {
    const LatencyHistogram* const histogram = backend_->statistics.histogram(kind);
    return histogram != nullptr ? histogram->bins() : Counts();
  }
  RequestTotals::Kind of(RequestKind kind) const { return backend_->statistics.totals().of(kind); }

  Nanoseconds takes_{0};
  bool fails_ = false;
  TestGraph graph_;
  FakeWorld world_{3, 1};
  ControlThreadScope control_{world_.context(0)};
  MemoryDriver* driver_ = nullptr;
  Backend* backend_ = nullptr;
};

TEST_F(RequestStatisticsTest, OperationsAndBytesAreCountedByKind) {
  request(RequestKind::kRead, {0, 512});
  request(RequestKind::kRead, {512, 1024});
  request(RequestKind::kWrite, {kBlock, 100});
  request(RequestKind::kUnmap, {0, 2 * kBlock});
  request(RequestKind::kFlush, {});
  EXPECT_EQ(of(RequestKind::kRead).operations, 2u);
  EXPECT_EQ(of(RequestKind::kRead).bytes, 1536u);
  EXPECT_EQ(of(RequestKind::kWrite).operations, 1u);
  EXPECT_EQ(of(RequestKind::kWrite).bytes, 100u);
  EXPECT_EQ(of(RequestKind::kUnmap).operations, 1u);
  EXPECT_EQ(of(RequestKind::kUnmap).bytes, 2 * kBlock);
  EXPECT_EQ(of(RequestKind::kFlush).operations, 1u);
  EXPECT_EQ(of(RequestKind::kFlush).bytes, 0u);
}

TEST_F(RequestStatisticsTest, AFailureIsCountedApartAndItsBytesAreNot) {
  fails_ = true;
  read();
  request(RequestKind::kWrite, {0, kBlock});
  fails_ = false;
  read();
  EXPECT_EQ(of(RequestKind::kRead).operations, 1u);
  EXPECT_EQ(of(RequestKind::kRead).failed, 1u);
  EXPECT_EQ(of(RequestKind::kRead).bytes, kBlock);
  EXPECT_EQ(of(RequestKind::kWrite).failed, 1u);
  EXPECT_EQ(of(RequestKind::kWrite).operations, 0u);
  EXPECT_EQ(backend_->statistics.totals().highest_write, 0u);
}

TEST_F(RequestStatisticsTest, AllContextsAreSummed) {
  for (unsigned context = 0; context < 3; ++context) read(context);
  EXPECT_EQ(of(RequestKind::kRead).operations, 3u);
}

TEST_F(RequestStatisticsTest, ARequestIsCountedWhereItEnds) {
  ask();
  run_in(world_, 1, [&] {
    assert_in_coroutine();
    BackendRequest request(*backend_, "read", 0, kBlock);
    world_.advance(milliseconds(4));
    co_reschedule_self(world_.context(2));
    request.count(RequestKind::kRead, {0, kBlock}, absl::OkStatus());
  });
  EXPECT_EQ(of(RequestKind::kRead).operations, 1u);
  EXPECT_EQ(Nanoseconds(of(RequestKind::kRead).time_ns), milliseconds(4));
}

TEST_F(RequestStatisticsTest, TheHighestWriteIsTheEndOfTheHighestOfAnyContext) {
  request(RequestKind::kWrite, {64 * kBlock, kBlock}, 1);
  request(RequestKind::kWrite, {kBlock, kBlock}, 2);
  request(RequestKind::kRead, {100 * kBlock, kBlock}, 2);
  EXPECT_EQ(backend_->statistics.totals().highest_write, 65 * kBlock);
}

TEST_F(RequestStatisticsTest, TimeIsKeptOnceSomebodyAsked) {
  takes_ = milliseconds(3);
  read();
  EXPECT_EQ(of(RequestKind::kRead).time_ns, 0u);
  ask();
  read();
  request(RequestKind::kFlush, {});
  fails_ = true;
  request(RequestKind::kWrite, {0, kBlock});
  EXPECT_EQ(Nanoseconds(of(RequestKind::kRead).time_ns), milliseconds(3));
  EXPECT_EQ(Nanoseconds(of(RequestKind::kFlush).time_ns), milliseconds(3));
  EXPECT_EQ(Nanoseconds(of(RequestKind::kWrite).time_ns), milliseconds(3));
}

TEST_F(RequestStatisticsTest, AWhileAfterTheLastQuestionTimeIsNoLongerKept) {
  takes_ = milliseconds(1);
  ask();
  world_.advance(RequestStatistics::kMeasuredFor - milliseconds(1));
  read();
  EXPECT_EQ(Nanoseconds(of(RequestKind::kRead).time_ns), milliseconds(1));
  world_.advance(milliseconds(1));
  EXPECT_TRUE(backend_->statistics.measures());
  read();
  EXPECT_FALSE(backend_->statistics.measures());
  EXPECT_EQ(Nanoseconds(of(RequestKind::kRead).time_ns), milliseconds(1));
  ask();
  read();
  EXPECT_EQ(Nanoseconds(of(RequestKind::kRead).time_ns), milliseconds(2));
}

TEST_F(RequestStatisticsTest, WaitingForADrainIsPartOfARequestsTime) {
  ask();
  const auto quiesce = [&]() NO_THREAD_SAFETY_ANALYSIS { backend_->gate.quiesce(); };
  const auto resume = [&]() NO_THREAD_SAFETY_ANALYSIS { backend_->gate.resume(); };
  quiesce();
  const auto done = start_in(world_.context(1), [&] {
    assert_in_coroutine();
    BackendRequest request(*backend_, "flush", 0, 0);
    request.count(RequestKind::kFlush, {}, absl::OkStatus());
  });
  settle(world_);
  world_.advance(milliseconds(20));
  resume();
  settle(world_);
  ASSERT_TRUE(*done);
  EXPECT_GE(Nanoseconds(of(RequestKind::kFlush).time_ns), milliseconds(20));
}

TEST_F(RequestStatisticsTest, AHistogramCountsFromEachBoundaryToBelowTheNext) {
  set_histogram(RequestKind::kRead, {1'000'000, 5'000'000});
  for (const int milli : {0, 1, 4, 5, 700}) {
    takes_ = milliseconds(milli);
    read(milli % 3);
  }
  EXPECT_EQ(bins(RequestKind::kRead), (Counts{1, 2, 2}));
  fails_ = true;
  read();
  EXPECT_EQ(bins(RequestKind::kRead), (Counts{1, 2, 3})) << "a failure takes its time too";
  EXPECT_EQ(bins(RequestKind::kWrite), Counts());
}

TEST_F(RequestStatisticsTest, WithAHistogramTimeIsKeptUntilItGoes) {
  set_histogram(RequestKind::kRead, {1'000});
  world_.advance(100 * RequestStatistics::kMeasuredFor);
  read();
  EXPECT_EQ(bins(RequestKind::kRead), (Counts{1, 0}));
  set_histogram(RequestKind::kWrite, {1'000});
  set_histogram(RequestKind::kRead, {});
  EXPECT_EQ(bins(RequestKind::kRead), Counts());
  world_.advance(100 * RequestStatistics::kMeasuredFor);
  read();
  EXPECT_TRUE(backend_->statistics.measures());
  set_histogram(RequestKind::kWrite, {});
  world_.advance(RequestStatistics::kMeasuredFor);
  read();
  EXPECT_FALSE(backend_->statistics.measures());
}

TEST_F(RequestStatisticsTest, ANewHistogramBeginsEmpty) {
  set_histogram(RequestKind::kRead, {1'000});
  read();
  set_histogram(RequestKind::kRead, {1'000, 2'000});
  EXPECT_EQ(bins(RequestKind::kRead), (Counts{0, 0, 0}));
}

TEST(LatencyHistogram, BoundariesThatDoNotRiseAreRefused) {
  const std::vector<std::vector<uint64_t>> wrong = {{},     {0},    {0, 1},
                                                    {5, 5}, {5, 4}, std::vector<uint64_t>(1000, 1)};
  for (const auto& boundaries : wrong) {
    EXPECT_EQ(status_errno(LatencyHistogram::create(boundaries).status()), EINVAL);
  }
  EXPECT_TRUE(LatencyHistogram::create({1}).ok());
  EXPECT_TRUE(LatencyHistogram::create({1, ~uint64_t{0}}).ok());
}

TEST(LatencyHistogram, AnyNumberOfBoundariesHasItsBins) {
  for (uint64_t count = 1; count <= 40; ++count) {
    std::vector<uint64_t> boundaries;
    for (uint64_t i = 1; i <= count; ++i) boundaries.push_back(10 * i);
    const auto histogram = histogram_of(boundaries);
    for (uint64_t i = 0; i <= count; ++i) histogram->count(i % kMaxContexts, 10 * i + 9);
    histogram->count(kMaxContexts - 1, ~uint64_t{0});
    Counts expected(count + 1, 1);
    ++expected.back();
    EXPECT_EQ(histogram->bins(), expected) << count;
  }
}

// The catalogue's B58: statistics and histograms are read and replaced beside I/O.
TEST(RequestStatistics, QuestionsAndNewHistogramsBesideIoRaceWithNothing) {
  constexpr unsigned kWorkers = 6;
  constexpr uint64_t kRounds = 3'000;
  TestGraph graph;
  Backend& backend =
      graph.add_backend(graph.add_node("disk", std::make_unique<MemoryDriver>(kDisk), kDisk));
  std::atomic<unsigned> running{kWorkers};
  uint64_t questions = 0;
  TestThreads threads(3);
  const ControlThreadScope control(threads.context(0));
  threads.run(kWorkers + 1, [&](unsigned i) {
    assert_in_coroutine();
    if (i == 0) {
      assert_control_thread();
      uint64_t seen = 0;
      while (running.load() > 0) {
        backend.statistics.measure(control_context().now());
        const RequestTotals totals = backend.statistics.totals();
        EXPECT_GE(totals.of(RequestKind::kRead).operations, seen) << "counters only grow";
        seen = totals.of(RequestKind::kRead).operations;
        const LatencyHistogram* const histogram = backend.statistics.histogram(RequestKind::kRead);
        if (histogram != nullptr) {
          EXPECT_EQ(histogram->bins().size(), 3u);
        }
        auto next = questions % 3 == 0 ? nullptr : histogram_of({1'000, 100'000});
        const auto former = backend.statistics.exchange_histogram(
            RequestKind::kRead, std::move(next), control_context().now());
        co_pass_all_contexts();
        ++questions;
      }
      return;
    }
    for (uint64_t round = 0; round < kRounds; ++round) {
      {
        BackendRequest request(backend, "read", 0, kBlock);
        if (round % 16 == 0) co_pause();
        request.count(RequestKind::kRead, {0, kBlock}, absl::OkStatus());
      }
      if (round % 8 == 0) co_pause();
    }
    running.fetch_sub(1);
  });
  EXPECT_GT(questions, 0u);
  EXPECT_EQ(backend.statistics.totals().of(RequestKind::kRead).operations, kWorkers * kRounds);
  EXPECT_EQ(backend.statistics.totals().of(RequestKind::kRead).bytes, kWorkers * kRounds * kBlock);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "block/node/request_tracker.h"

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/sync_point.h"
#include "iothreads/co_event.h"
#include "iothreads/coroutine.h"
#include "tests/block/block_test_support.h"

namespace penstock {
namespace {

using Ticket = RequestTracker::Ticket;

// A request that holds its ticket until it is let go.
struct Request {
  CoEvent release;
  bool inside = false;
  std::shared_ptr<bool> done;
};

class RequestTrackerTest : public ::testing::Test {
 protected:
  void start(Request& request, ByteRange range, bool serialising, unsigned context = 0) {
    request.done = start_in(world_.context(context), [this, &request, range, serialising] {
      co_hold(request, range, serialising);
    });
    settle(world_);
  }
  void finish(Request& request) {
    request.release.set();
    settle(world_);
    EXPECT_TRUE(*request.done);
  }

  void co_hold(Request& request, ByteRange range, bool serialising) NO_THREAD_SAFETY_ANALYSIS {
    if (serialising) {
      const Ticket ticket(tracker_, range, Ticket::Serialising{});
      request.inside = true;
      request.release.co_wait();
    } else {
      const Ticket ticket(tracker_, range);
      request.inside = true;
      request.release.co_wait();
    }
  }

  FakeWorld world_{2, 1};
  InFlightCounters counters_;
  RequestTracker tracker_{counters_};
};

TEST_F(RequestTrackerTest, OrdinaryRequestsPassUntracked) {
  Request one, two;
  start(one, {0, 100}, false);
  start(two, {0, 100}, false, 1);
  EXPECT_TRUE(one.inside && two.inside);
  EXPECT_FALSE(tracker_.tracked_phase());
  EXPECT_FALSE(counters_.untracked_idle());
  finish(one);
  finish(two);
  EXPECT_TRUE(counters_.untracked_idle());
}

TEST_F(RequestTrackerTest, TheFirstSerialisingRequestWaitsForAllUntrackedOnes) {
  Request ordinary, serialising, later, elsewhere;
  start(ordinary, {1000, 100}, false);
  start(serialising, {0, 100}, true, 1);
  EXPECT_TRUE(tracker_.tracked_phase());
  EXPECT_FALSE(serialising.inside) << "nobody knows the untracked request's range";
  start(later, {50, 10}, false);
  start(elsewhere, {500, 10}, false, 1);
  EXPECT_FALSE(later.inside) << "it overlaps an older serialising request";
  EXPECT_TRUE(elsewhere.inside);
  finish(ordinary);
  EXPECT_TRUE(serialising.inside);
  EXPECT_FALSE(later.inside);
  finish(serialising);
  EXPECT_TRUE(later.inside);
  finish(later);
  finish(elsewhere);
}

#if defined(PENSTOCK_SYNC_POINTS)
TEST_F(RequestTrackerTest, ARequestThatCountedItselfBeforeTheFlagRoseIsNotMissed) {
  Request serialising;
  bool overtaken = false;
  // Between the ordinary request's count and its look.
  const SyncPointCallback callback("tracker:before-look", [&] {
    assert_in_coroutine();
    if (serialising.done != nullptr) return;
    serialising.done = start_in(world_.context(1), [&] { co_hold(serialising, {0, 100}, true); });
    while (!tracker_.tracked_phase()) co_pause();
    for (int i = 0; i < 10; ++i) co_pause();
    overtaken = serialising.inside;
  });
  Request ordinary;
  start(ordinary, {0, 100}, false);
  EXPECT_FALSE(overtaken) << "it went on while the ordinary request was counted";
  EXPECT_TRUE(serialising.inside) << "the ordinary request went back and woke it";
  EXPECT_FALSE(ordinary.inside);
  finish(serialising);
  EXPECT_TRUE(ordinary.inside);
  finish(ordinary);
}
#endif

TEST_F(RequestTrackerTest, ConflictingRequestsAreServedInTheOrderOfTheirComing) {
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 6; ++i) {
    requests.push_back(std::make_unique<Request>());
    start(*requests.back(), {0, 10}, /*serialising=*/i % 2 == 0, static_cast<unsigned>(i % 2));
  }
  for (int i = 0; i < 6; ++i) {
    for (int j = 0; j < 6; ++j) EXPECT_EQ(requests[j]->inside, j <= i) << i << " " << j;
    finish(*requests[i]);
  }
}

TEST_F(RequestTrackerTest, EndlessOrdinaryRequestsDoNotStarveASerialisingOne) {
  Request first, serialising;
  start(first, {0, 10}, true);
  finish(first);  // in the tracked phase now
  std::vector<std::unique_ptr<Request>> ordinary;
  for (int i = 0; i < 3; ++i) {
    start(*ordinary.emplace_back(std::make_unique<Request>()), {0, 10}, false);
  }
  start(serialising, {0, 10}, true);
  // From now on there are always three ordinary requests; each old one ends after a new one came.
  int rounds = 0;
  while (!serialising.inside && rounds < 10) {
    start(*ordinary.emplace_back(std::make_unique<Request>()), {0, 10}, false, 1);
    finish(*ordinary[static_cast<size_t>(rounds++)]);
  }
  EXPECT_EQ(rounds, 3) << "it waits for those that were there before it, and no others";
  finish(serialising);
  for (auto& request : ordinary) finish(*request);
}

TEST_F(RequestTrackerTest, ThePhaseLingersAndThenLeaves) {
  Request serialising, overlapping;
  start(serialising, {0, 10}, true);
  finish(serialising);
  EXPECT_TRUE(tracker_.tracked_phase());
  int requests = 0;
  while (tracker_.tracked_phase() && requests < 100'000) {
    Request ordinary;
    start(ordinary, {0, 10}, false);
    finish(ordinary);
    ++requests;
  }
  EXPECT_GT(requests, 10);
  EXPECT_FALSE(tracker_.tracked_phase());
}

TEST(RequestTracker, SerialisingRequestsExcludeAllOverlappingOnesOnRealThreads) {
  InFlightCounters counters;
  RequestTracker tracker(counters);
  std::atomic<int> ordinary_inside{0};
  std::atomic<int> serialising_inside{0};
  std::atomic<int> violations{0};
  TestThreads threads(3);
  threads.run(12, [&](unsigned i) {
    [&]() NO_THREAD_SAFETY_ANALYSIS {
      std::mt19937_64 random(i);
      for (int round = 0; round < 2'000; ++round) {
        if (random() % 512 == 0) {
          const Ticket ticket(tracker, {0, 64}, Ticket::Serialising{});
          if (serialising_inside.fetch_add(1) != 0 || ordinary_inside.load() != 0) ++violations;
          co_pause();
          if (ordinary_inside.load() != 0) ++violations;
          serialising_inside.fetch_sub(1);
        } else {
          const Ticket ticket(tracker, {32, 64});
          ordinary_inside.fetch_add(1);
          if (serialising_inside.load() != 0) ++violations;
          if (random() % 4 == 0) co_pause();
          ordinary_inside.fetch_sub(1);
        }
      }
    }();
  });
  EXPECT_EQ(violations.load(), 0);
  EXPECT_TRUE(counters.untracked_idle());
}

}  // namespace
}  // namespace penstock

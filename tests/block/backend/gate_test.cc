// SPDX-License-Identifier: Apache-2.0
#include "block/backend/gate.h"

#include <atomic>
#include <cerrno>
#include <memory>
#include <vector>

#include "base/status.h"
#include "base/sync_point.h"
#include "iothreads/co_event.h"
#include "iothreads/control_thread.h"
#include "tests/block/block_test_support.h"

namespace penstock {
namespace {

// The fake world has one thread, which plays the control thread whenever a test needs it to.
void quiesce(Gate& gate) NO_THREAD_SAFETY_ANALYSIS { gate.quiesce(); }
void resume(Gate& gate) NO_THREAD_SAFETY_ANALYSIS { gate.resume(); }
void close_gate(Gate& gate) NO_THREAD_SAFETY_ANALYSIS { gate.close(); }
bool drained(Gate& gate) {
  heavy_barrier();
  return gate.idle();
}

class GateTest : public ::testing::Test {
 protected:
  struct Request {
    CoEvent release;
    bool inside = false;
    absl::Status status;
    std::shared_ptr<bool> done;
  };

  void start(Request& request, unsigned context = 1) {
    request.done = start_in(world_.context(context), [this, &request] {
      assert_in_coroutine();
      request.status = gate_.co_enter("read", 4096, 512);
      if (!request.status.ok()) return;
      request.inside = true;
      order_.push_back(&request);
      request.release.co_wait();
      gate_.leave();
    });
    settle(world_);
  }
  void finish(Request& request) {
    request.release.set();
    settle(world_);
    EXPECT_TRUE(*request.done);
  }

  FakeWorld world_{3, 1};
  ControlThreadScope control_{world_.context(0)};
  Gate gate_;
  std::vector<Request*> order_;
};

TEST_F(GateTest, ARequestInsideIsCountedUntilItLeaves) {
  Request request;
  start(request);
  EXPECT_TRUE(request.inside);
  quiesce(gate_);
  EXPECT_FALSE(drained(gate_));
  finish(request);
  EXPECT_TRUE(drained(gate_));
  resume(gate_);
}

TEST_F(GateTest, ItsCoroutineSaysWhatItDoesThere) {
  Request request;
  start(request);
  int found = 0;
  Coroutine::for_each([&](Coroutine& coroutine) {
    if (coroutine.tag().gate.load() != &gate_) return;
    ++found;
    EXPECT_STREQ(coroutine.tag().operation.load(), "read");
    EXPECT_EQ(coroutine.tag().offset.load(), 4096u);
    EXPECT_EQ(coroutine.tag().length.load(), 512u);
    EXPECT_EQ(coroutine.in_flight, 1);
  });
  EXPECT_EQ(found, 1);
  finish(request);
  Coroutine::for_each(
      [&](Coroutine& coroutine) { EXPECT_EQ(coroutine.tag().gate.load(), nullptr); });
}

TEST_F(GateTest, ParkedRequestsAreNotCountedAndContinueInOrder) {
  quiesce(gate_);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i) start(*requests.emplace_back(std::make_unique<Request>()));
  EXPECT_EQ(gate_.parked(), 5u);
  EXPECT_TRUE(drained(gate_));
  quiesce(gate_);  // sections nest
  resume(gate_);
  settle(world_);
  EXPECT_EQ(gate_.parked(), 5u);
  resume(gate_);
  settle(world_);
  ASSERT_EQ(order_.size(), 5u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(order_[i], requests[i].get());
  for (auto& request : requests) finish(*request);
  EXPECT_TRUE(drained(gate_));
}

#if defined(PENSTOCK_SYNC_POINTS)
// The request saw the gate quiesced and has not parked yet; then the drain ends.
TEST_F(GateTest, ADrainThatEndsBeforeTheRequestParksDoesNotLeaveItBehind) {
  quiesce(gate_);
  const SyncPointCallback callback("gate:before-park-lock", [&] { resume(gate_); });
  Request request;
  start(request);
  EXPECT_TRUE(request.inside);
  EXPECT_EQ(gate_.parked(), 0u);
  EXPECT_FALSE(drained(gate_));
  finish(request);
  EXPECT_TRUE(drained(gate_));
}
#endif

#if defined(PENSTOCK_SYNC_POINTS)
// The request has counted itself and not looked yet; then a drain begins.
TEST_F(GateTest, ADrainThatBeginsAfterTheCountSeesTheRequestOrStopsIt) {
  Request request;
  bool idle_at_once = true;
  {
    const SyncPointCallback callback("gate:counted", [&] {
      quiesce(gate_);
      idle_at_once = drained(gate_);
    });
    start(request);
  }
  EXPECT_FALSE(idle_at_once);
  EXPECT_FALSE(request.inside);
  EXPECT_TRUE(drained(gate_));
  EXPECT_EQ(gate_.parked(), 1u);
  resume(gate_);
  settle(world_);
  finish(request);
}
#endif

#if defined(PENSTOCK_SYNC_POINTS)
// The request is on the list and has not yielded yet; then the gate is closed, which schedules it.
TEST_F(GateTest, ARequestThatIsRefusedBeforeItYieldsIsWokenForThatAlone) {
  quiesce(gate_);
  const SyncPointCallback callback("gate:parked", [&] { close_gate(gate_); });
  CoEvent event;
  bool event_came = false;
  absl::Status status;
  const auto done = start_in(world_.context(1), [&] {
    assert_in_coroutine();
    status = gate_.co_enter("read", 4096, 512);
    event.co_wait();
    event_came = true;
  });
  settle(world_);
  EXPECT_EQ(status_errno(status), ESHUTDOWN);
  EXPECT_FALSE(event_came) << "by a wake-up that was left over";
  event.set();
  settle(world_);
  EXPECT_TRUE(*done);
  resume(gate_);
}
#endif

// Resumed requests have not run yet when the next drain begins.
TEST_F(GateTest, TheNextDrainSeesRequestsThatTheLastOneResumed) {
  quiesce(gate_);
  Request request;
  start(request);
  resume(gate_);
  quiesce(gate_);
  EXPECT_FALSE(drained(gate_));
  settle(world_);
  EXPECT_TRUE(request.inside) << "it was counted in before the drain began";
  EXPECT_FALSE(drained(gate_));
  finish(request);
  EXPECT_TRUE(drained(gate_));
  resume(gate_);
}

TEST_F(GateTest, AClosedGateRefusesNewRequestsAndTheParked) {
  quiesce(gate_);
  Request parked, late;
  start(parked);
  close_gate(gate_);
  settle(world_);
  ASSERT_TRUE(*parked.done);
  EXPECT_EQ(status_errno(parked.status), ESHUTDOWN);
  start(late);
  ASSERT_TRUE(*late.done);
  EXPECT_EQ(status_errno(late.status), ESHUTDOWN);
  resume(gate_);
  EXPECT_TRUE(drained(gate_));
}

TEST_F(GateTest, ARequestMayLeaveOnAnotherContext) {
  const auto done = start_in(world_.context(1), [this] {
    assert_in_coroutine();
    ASSERT_TRUE(gate_.co_enter("read", 0, 1).ok());
    co_reschedule_self(world_.context(2));
    gate_.leave();
  });
  settle(world_);
  EXPECT_TRUE(*done);
  EXPECT_TRUE(drained(gate_));
}

TEST(Gate, NoRequestIsInsideADrainedSectionOnRealThreads) {
  Gate gate;
  std::atomic<int> inside{0};
  std::atomic<int> violations{0};
  std::atomic<int> running{8};
  TestThreads threads(3);
  const ControlThreadScope control(threads.context(0));
  int drains = 0;
  threads.run(9, [&](unsigned i) {
    assert_in_coroutine();
    if (i == 0) {
      assert_control_thread();
      while (running.load() > 0) {
        gate.quiesce();
        heavy_barrier();
        while (!gate.idle()) co_pause();
        for (int look = 0; look < 3; ++look) {
          if (inside.load() != 0) ++violations;
          co_pause();
        }
        gate.resume();
        ++drains;
        co_pause();
      }
      return;
    }
    for (int round = 0; round < 3'000; ++round) {
      if (!gate.co_enter("read", 0, 1).ok()) ++violations;
      inside.fetch_add(1);
      if (round % 8 == 0) co_pause();
      inside.fetch_sub(1);
      gate.leave();
      if (round % 4 == 0) co_pause();
    }
    running.fetch_sub(1);
  });
  EXPECT_EQ(violations.load(), 0);
  EXPECT_GT(drains, 0);
  EXPECT_TRUE(gate.idle());
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <mutex>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "block/graph/node_in_flight.h"
#include "iothreads/co_event.h"
#include "iothreads/co_mutex.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

using namespace std::chrono_literals;

class DrainTest : public GraphFixture {
 protected:
  // A request of `backend` on io(0), held in the spy until `release` is set.
  void hold_a_write(Backend& backend, Spy& spy) {
    spy.on_request = [this] {
      assert_in_coroutine();
      inside_.set();
      release_.co_wait();
      return absl::OkStatus();
    };
    io(0).spawn("held", [&] {
      assert_in_coroutine();
      status_ = co_write_block(backend, 5, 77);
      done_.set();
    });
    run_sync(io(1), [&] {
      assert_in_coroutine();
      inside_.co_wait();
    });
  }
  void wait_for(CoEvent& event) {
    run_sync(io(1), [&] {
      assert_in_coroutine();
      event.co_wait();
    });
  }

  CoEvent inside_, release_, done_;
  absl::Status status_;
};

TEST_F(DrainTest, WaitsForWhatIsInside) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  auto backend = attach("export", "top", kWriter);
  ASSERT_OK(backend.status());
  hold_a_write(**backend, spies_.of("file"));
  CoEvent begun;
  bool drained = false;
  control_->context().spawn("drain", [&] {
    assert_in_coroutine();
    assert_control_thread();
    DrainedSection section(*graph_);
    EXPECT_OK(section.co_begin({"file"}));
    drained = true;
    EXPECT_EQ(spies_.of("file").current[5].load(), 77u);
    EXPECT_EQ(spies_.of("top").drained, 1) << "drivers above are told, too";
    section.co_end();
    begun.set();
  });
  on_control([&] {
    assert_in_coroutine();
    for (int i = 0; i < 200; ++i) co_pause();
    EXPECT_FALSE(drained);
    release_.set();
    begun.co_wait();
  });
  wait_for(done_);
  EXPECT_OK(status_);
  EXPECT_EQ(spies_.of("top").drained, 0);
  EXPECT_OK(detach(*backend));
}

// The reply to the kernel is part of the request.
TEST_F(DrainTest, WaitsForCompletionTails) {
  ASSERT_OK(open(spy_options("disk")));
  auto backend = attach("export", "disk", kWriter);
  ASSERT_OK(backend.status());
  std::atomic<bool> replied{false};
  io(0).spawn("tail", [&] {
    assert_in_coroutine();
    {
      BackendRequest request(**backend, "read", 0, 0);
      inside_.set();
      release_.co_wait();
      replied = true;
    }
    done_.set();
  });
  wait_for(inside_);
  on_control([&] {
    assert_in_coroutine();
    control_->context().spawn("release", [&] {
      assert_in_coroutine();
      for (int i = 0; i < 100; ++i) co_pause();
      release_.set();
    });
    DrainedSection section(*graph_);
    EXPECT_OK(section.co_begin({"disk"}));
    EXPECT_TRUE(replied);
    section.co_end();
  });
  wait_for(done_);
  EXPECT_OK(detach(*backend));
}

TEST_F(DrainTest, ParksNewRequestsAndReleasesThemInTheOrderOfTheirComing) {
  ASSERT_OK(open(spy_options("disk")));
  auto backend = attach("export", "disk", kWriter);
  ASSERT_OK(backend.status());
  ThreadMutex mutex("order");
  std::vector<unsigned> order;
  std::atomic<int> left{64};
  CoEvent all_done;
  run_sync(io(1), [&] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    ASSERT_OK(section.co_begin({"disk"}));
    spies_.of("disk").quiet = 1;
    for (unsigned i = 0; i < 64; ++i) {
      io(0).spawn("parked", [&, i] {
        assert_in_coroutine();
        {
          BackendRequest request(**backend, "write", i, 1);
          ThreadLock lock(mutex);
          order.push_back(i);
        }
        EXPECT_OK(co_write_block(**backend, i, i));
        if (--left == 0) all_done.set();
      });
    }
    while ((*backend)->gate.parked() < 64) co_pause();
    EXPECT_EQ(spies_.of("disk").writes, 0u);
    spies_.of("disk").quiet = 0;
    section.co_end();
    all_done.co_wait();
  });
  ASSERT_EQ(order.size(), 64u);
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(order[i], i);
  EXPECT_EQ(spies_.of("disk").writes, 64u);
  EXPECT_OK(detach(*backend));
}

TEST_F(DrainTest, SectionsNestOnNodesSetsAndAll) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  ASSERT_OK(open(spy_options("other")));
  auto top = attach("b-top", "top", kWriter);
  auto other = attach("b-other", "other", kWriter);
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    DrainedSection node(*graph_), set(*graph_), all(*graph_), again(*graph_);
    ASSERT_OK(node.co_begin({"file"}));
    EXPECT_EQ((*top)->gate.quiesce_depth(), 1);
    EXPECT_EQ((*other)->gate.quiesce_depth(), 0) << "an unrelated node is not touched";
    ASSERT_OK(set.co_begin({"top", "file", "top"}));
    EXPECT_EQ((*top)->gate.quiesce_depth(), 2);
    ASSERT_OK(all.co_begin_all());
    EXPECT_EQ((*top)->gate.quiesce_depth(), 3);
    EXPECT_EQ((*other)->gate.quiesce_depth(), 1);
    ASSERT_OK(again.co_begin({"other"}));
    EXPECT_EQ(spies_.of("file").drain_begins - spies_.of("file").drained, 0u);
    // Not in the reverse order.
    node.co_end();
    all.co_end();
    EXPECT_EQ((*top)->gate.quiesce_depth(), 1);
    EXPECT_EQ((*other)->gate.quiesce_depth(), 1);
    set.co_end();
    again.co_end();
    EXPECT_EQ((*top)->gate.quiesce_depth(), 0);
    EXPECT_EQ((*other)->gate.quiesce_depth(), 0);
    EXPECT_EQ(spies_.of("file").drained, 0);
    EXPECT_EQ(graph_->find("file")->drain_depth, 0);
  });
  EXPECT_OK(detach(*top));
  EXPECT_OK(detach(*other));
}

TEST_F(DrainTest, UnknownNodesAreNamed) {
  const absl::Status status = run_sync(io(0), [&] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    return section.co_begin({"nobody", "noone"});
  });
  EXPECT_TRUE(fails_with(status, ENOENT, {"'nobody'", "'noone'"}));
}

TEST_F(DrainTest, TheTimeLimitNamesTheHolderAndTakesTheDrainBack) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  auto backend = attach("export7", "top", kWriter);
  hold_a_write(**backend, spies_.of("file"));
  const absl::Status status = run_sync(io(1), [&] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    absl::Status begin = section.co_begin({"file"}, 20ms);
    EXPECT_FALSE(section.begun());
    return begin;
  });
  EXPECT_TRUE(fails_with(status, ETIMEDOUT,
                         {"'file'", "20 ms", "write", "offset 2560", "length 512", "'export7'"}));
  EXPECT_EQ(quiesce_depth(**backend), 0);
  EXPECT_EQ(spies_.of("top").drained, 0);
  EXPECT_EQ(spies_.of("file").drained, 0);
  // Requests pass again while the first one is still held.
  spies_.of("file").on_request = nullptr;
  run_sync(io(1), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**backend, 6, 1));
  });
  release_.set();
  wait_for(done_);
  EXPECT_OK(status_);
  EXPECT_OK(detach(*backend));
}

TEST_F(DrainTest, ALoadThatHoldsTheDrainIsNamedToo) {
  ASSERT_OK(open(spy_options("file")));
  spies_.of("slow").on_load = [&] {
    assert_in_coroutine();
    inside_.set();
    release_.co_wait();
    return absl::OkStatus();
  };
  control_->context().spawn("open", [&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_OK(graph_->co_open(spy_above("spy-format", "slow", std::string("file"))).status());
    done_.set();
  });
  wait_for(inside_);
  const absl::Status status = run_sync(io(1), [&] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    return section.co_begin({"file"}, 10ms);
  });
  EXPECT_TRUE(fails_with(status, ETIMEDOUT, {"'open'", "'slow'"}));
  release_.set();
  wait_for(done_);
}

// Three callers on three threads drain the nodes of a diamond at once, again and again.
TEST_F(DrainTest, ThreeCallersNestOnADiamond) {
  ASSERT_OK(open(spy_options("low")));
  ASSERT_OK(open(spy_above("spy-filter", "left", std::string("low"))));
  ASSERT_OK(open(spy_above("spy-filter", "right", std::string("low"))));
  auto left = attach("b-left", "left", kWriter);
  auto right = attach("b-right", "right", kWriter);
  std::atomic<int> running{3};
  CoEvent finished;
  const std::vector<std::vector<std::string>> sets{{"left", "low"}, {"right"}, {"low"}};
  std::vector<AioContext*> contexts{&control_->context(), &io(0), &io(1)};
  for (unsigned caller = 0; caller < 3; ++caller) {
    contexts[caller]->spawn("drainer", [&, caller] {
      assert_in_coroutine();
      for (int round = 0; round < 300; ++round) {
        DrainedSection outer(*graph_), inner(*graph_), innermost(*graph_);
        EXPECT_OK(outer.co_begin(sets[caller]));
        EXPECT_OK(inner.co_begin(sets[(caller + 1) % 3]));
        EXPECT_OK(innermost.co_begin_all());
        innermost.co_end();
        outer.co_end();
        inner.co_end();
      }
      if (--running == 0) finished.set();
    });
  }
  wait_for(finished);
  EXPECT_EQ(quiesce_depth(**left), 0);
  EXPECT_EQ(quiesce_depth(**right), 0);
  EXPECT_OK(detach(*left));
  EXPECT_OK(detach(*right));
}

TEST_F(DrainTest, ADetachingBackendRefusesWhatIsParked) {
  ASSERT_OK(open(spy_options("disk")));
  auto backend = attach("export", "disk", kWriter);
  std::atomic<int> refused{0};
  CoEvent all_refused;
  run_sync(io(1), [&] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    ASSERT_OK(section.co_begin({"disk"}));
    for (unsigned i = 0; i < 8; ++i) {
      io(0).spawn("parked", [&, i] {
        assert_in_coroutine();
        if (status_errno(co_write_block(**backend, i, i)) == ESHUTDOWN && ++refused == 8) {
          all_refused.set();
        }
      });
    }
    while ((*backend)->gate.parked() < 8) co_pause();
    {
      CoControlHop hop;
      assert_control_thread();
      EXPECT_OK(graph_->co_detach_backend(**backend));
    }
    all_refused.co_wait();
    section.co_end();
  });
  backend->reset();
  EXPECT_EQ(spies_.of("disk").writes, 0u);
}

using DrainDeathTest = DrainTest;

TEST_F(DrainDeathTest, ACallerThatIsInFlightAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ASSERT_OK(open(spy_options("disk")));
        auto backend = attach("export", "disk", kWriter);
        run_sync(io(0), [&]() NO_THREAD_SAFETY_ANALYSIS {
          assert_in_coroutine();
          BackendRequest request(**backend, "read", 0, 512);
          DrainedSection section(*graph_);
          (void)section.co_begin({"disk"});
        });
      },
      "in flight in 1 ");
}

TEST_F(DrainDeathTest, ACallerThatHoldsACoMutexAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ASSERT_OK(open(spy_options("disk")));
        run_sync(io(0), [&] {
          assert_in_coroutine();
          CoMutex mutex;
          CoMutexLock lock(mutex);
          DrainedSection section(*graph_);
          (void)section.co_begin({"disk"});
        });
      },
      "holds 1 locks");
}

}  // namespace
}  // namespace penstock

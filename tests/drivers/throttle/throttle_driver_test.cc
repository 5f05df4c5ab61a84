// SPDX-License-Identifier: Apache-2.0
// The throttle filter in a graph: drains under a full queue on a clock that the test moves, groups
// and their users, and real threads.
#include "drivers/throttle/throttle_driver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/graph/drain.h"
#include "block/io/child_io.h"
#include "drivers/register_drivers.h"
#include "drivers/throttle/throttle_groups.h"
#include "iothreads/control_thread.h"
#include "iothreads/fake_world.h"
#include "tests/drivers/driver_world.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kContexts = 4;

ThrottleLimits parsed(const json& limits) { return throttle_limits_from_json(limits, {}).value(); }

json null_below(const std::string& name) { return {{"driver", "null-co"}, {"node-name", name}}; }
json throttle_above(const json& file, const std::string& group = "g") {
  return {{"driver", "throttle"}, {"node-name", "t"}, {"throttle-group", group}, {"file", file}};
}

// "top" (raw) on "t" (throttle, 1 iops) on "disk" (null-co), with a backend on each of the first
// two; context 0 is the control thread's.
class ThrottledGraph : public testing::Test {
 protected:
  ThrottledGraph() {
    register_drivers(registry_);
    graph_ = std::make_unique<Graph>(registry_, host_);
    const auto added = throttle_groups(registry_).add("g", parsed({{"iops-total", 1}}));
    EXPECT_TRUE(added.ok());
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      const json top = {
          {"driver", "raw"}, {"node-name", "top"}, {"file", throttle_above(null_below("disk"))}};
      const auto opened = graph_->co_open(options_from_json(top));
      ASSERT_TRUE(opened.ok()) << opened.status();
      const Permissions sharing{kConsistentRead, kAllPermissions};
      above_ = *graph_->co_attach_backend("above", *graph_->find("top"), sharing);
      direct_ = *graph_->co_attach_backend("direct", *graph_->find("t"), sharing);
    });
  }
  ~ThrottledGraph() override {
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      for (Backend* backend : {above_.get(), direct_.get()}) {
        if (backend == nullptr) continue;
        EXPECT_TRUE(graph_->co_detach_backend(*backend).ok());
      }
      for (const char* name : {"top", "t", "disk"}) EXPECT_TRUE(graph_->co_close(name).ok());
      EXPECT_TRUE(graph_->changes().driver_hurries.empty());
      EXPECT_TRUE(graph_->changes().driver_drains.empty());
    });
    graph_.reset();
  }

  void control(std::function<void()> function) {
    bool done = false;
    world_.context(0).spawn("control", [&] {
      function();
      done = true;
    });
    ASSERT_TRUE(world_.run_until([&] { return done; })) << "the command is stuck";
  }
  // Requests on all contexts that wait for the throttle, one of them through already.
  void fill_queue(Backend& backend, int count = 100) {
    for (int i = 0; i < count; ++i) start_read(backend, static_cast<unsigned>(i) % kContexts);
    bool moved = true;
    while (moved) {
      moved = false;
      for (unsigned i = 0; i < kContexts; ++i) moved = world_.step_context(i) || moved;
    }
    ASSERT_EQ(group().waiting(), static_cast<uint64_t>(count) - 1);
  }
  void start_read(Backend& backend, unsigned context) {
    ++running_;
    world_.context(context).spawn("read", [this, &backend] {
      assert_in_coroutine();
      std::vector<std::byte> bytes(4096);
      const auto status = co_read(backend, 0, bytes);
      EXPECT_TRUE(status.ok()) << status_text(status);
      last_end_ = world_.now();
      --running_;
    });
  }
  void finish() {
    ASSERT_TRUE(world_.run_until([this] { return running_ == 0; }));
  }
  ThrottleGroup& group() { return *throttle_groups(registry_).find("g"); }

  // A drain must not take a thousandth of what the queue would.
  void expect_prompt(const std::function<void()>& command) {
    const Nanoseconds before = world_.now();
    control(command);
    EXPECT_LT(world_.now() - before, milliseconds(10));
    EXPECT_EQ(running_, 0) << "requests are left";
  }

  DriverRegistry registry_;
  TestHost host_;
  FakeWorld world_{kContexts, 1};
  ControlThreadScope scope_{world_.context(0)};
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Backend> above_, direct_;
  int running_ = 0;
  Nanoseconds last_end_{0};
};

TEST_F(ThrottledGraph, DrainsPromptlyWithAFullQueueAndMakesUpForItAfterwards) {
  fill_queue(*direct_);
  const Nanoseconds before = world_.now();
  expect_prompt([this] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    EXPECT_TRUE(section.co_begin({"t"}).ok());
    section.co_end();
  });
  // The budget of the hundred is spent: the next one waits until it has leaked.
  start_read(*direct_, 1);
  finish();
  EXPECT_EQ(last_end_ - before, milliseconds(99'900));
}

TEST_F(ThrottledGraph, DrainsPromptlyBelowADrainedNode) {
  fill_queue(*above_);
  expect_prompt([this] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    EXPECT_TRUE(section.co_begin({"top"}).ok());
    section.co_end();
  });
}

TEST_F(ThrottledGraph, DrainsPromptlyAboveADrainedNode) {
  fill_queue(*above_, 50);
  expect_prompt([this] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    EXPECT_TRUE(section.co_begin({"disk"}).ok());
    section.co_end();
  });
}

TEST_F(ThrottledGraph, DrainsPromptlyWithAllNodes) {
  fill_queue(*direct_, 50);
  expect_prompt([this] {
    assert_in_coroutine();
    DrainedSection section(*graph_);
    EXPECT_TRUE(section.co_begin_all().ok());
    section.co_end();
  });
}

TEST_F(ThrottledGraph, LetsABackendGoPromptly) {
  fill_queue(*above_);
  expect_prompt([this] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(graph_->co_detach_backend(*above_).ok());
    above_.reset();
  });
}

TEST_F(ThrottledGraph, IsTakenOutPromptly) {
  fill_queue(*above_);
  expect_prompt([this] {
    assert_in_coroutine();
    assert_control_thread();
    const auto removed = graph_->co_remove_filter("t");
    EXPECT_TRUE(removed.ok()) << status_text(removed);
    EXPECT_TRUE(throttle_groups(registry_).remove("g").ok());
    EXPECT_TRUE(throttle_groups(registry_).add("g", {}).ok());
    EXPECT_TRUE(graph_
                    ->co_insert_filter(
                        options_from_json(
                            {{"driver", "throttle"}, {"node-name", "t"}, {"throttle-group", "g"}}),
                        "disk")
                    .ok());
  });
}

TEST_F(ThrottledGraph, ThrottlesAgainAfterADrain) {
  control([this] {
    assert_in_coroutine();
    DrainedSection outer(*graph_);
    EXPECT_TRUE(outer.co_begin({"t"}).ok());
    DrainedSection inner(*graph_);
    EXPECT_TRUE(inner.co_begin({"top"}).ok());
    inner.co_end();
    outer.co_end();
  });
  const Nanoseconds before = world_.now();
  fill_queue(*direct_, 4);
  finish();
  EXPECT_EQ(last_end_ - before, milliseconds(2900));
}

TEST_F(ThrottledGraph, ADrainElsewhereLetsNothingGo) {
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(graph_->co_open(options_from_json(null_below("other"))).ok());
  });
  fill_queue(*direct_, 10);
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    DrainedSection section(*graph_);
    EXPECT_TRUE(section.co_begin({"other"}).ok());
    section.co_end();
    EXPECT_EQ(group().waiting(), 9u);
    EXPECT_TRUE(graph_->co_close("other").ok());
  });
  finish();
}

TEST_F(ThrottledGraph, FlushesAreNotHeldBack) {
  fill_queue(*direct_, 10);
  const Nanoseconds before = world_.now();
  bool flushed = false;
  world_.context(2).spawn("flush", [&] {
    assert_in_coroutine();
    BackendRequest request(*direct_, "flush", 0, 0);
    EXPECT_TRUE(co_flush(request.root()).ok());
    flushed = true;
  });
  ASSERT_TRUE(world_.run_until([&] { return flushed; }));
  EXPECT_EQ(world_.now(), before);
  finish();
}

// B41: throttled requests outlive a move of the node's home context.
TEST_F(ThrottledGraph, RequestsGoOnWhenTheHomeContextMoves) {
  const Nanoseconds before = world_.now();
  fill_queue(*direct_, 10);
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    graph_->find("t")->home = world_.context(3).shared_from_this();
  });
  finish();
  EXPECT_EQ(last_end_ - before, milliseconds(8900));
}

class ThrottleDriverTest : public testing::Test {
 protected:
  void add_group(const std::string& name, const json& limits) {
    ASSERT_TRUE(throttle_groups(world_.drivers()).add(name, parsed(limits)).ok());
  }
  absl::Status remove_group(const std::string& name) {
    return throttle_groups(world_.drivers()).remove(name);
  }
  DriverWorld world_{4};
};

TEST_F(ThrottleDriverTest, AGroupInUseIsNotRemovedAndItsNodesAreNamed) {
  add_group("g", json::object());
  json second = throttle_above(null_below("disk2"));
  second["node-name"] = "t2";
  ASSERT_TRUE(world_.open(throttle_above(null_below("disk1"))).ok());
  ASSERT_TRUE(world_.open(second).ok());
  const auto refused = remove_group("g");
  EXPECT_EQ(status_errno(refused), EBUSY);
  EXPECT_NE(status_text(refused).find("node 't', node 't2'"), std::string::npos)
      << status_text(refused);
  EXPECT_TRUE(world_.close("t").ok());
  EXPECT_TRUE(world_.close("t2").ok());
  EXPECT_TRUE(remove_group("g").ok());
  EXPECT_EQ(status_errno(remove_group("g")), ENOENT);
}

TEST_F(ThrottleDriverTest, RefusesGroupsThatAreNotThereAndOptionsThatItDoesNotKnow) {
  const auto missing = world_.open(throttle_above(null_below("disk")));
  EXPECT_EQ(status_errno(missing.status()), ENOENT);
  EXPECT_NE(status_text(missing.status()).find("Throttle group 'g' does not exist"),
            std::string::npos);
  add_group("g", json::object());
  json unknown = throttle_above(null_below("disk"));
  unknown["limits"] = 5;
  EXPECT_EQ(status_errno(world_.open(unknown).status()), EINVAL);
  json nameless = throttle_above(null_below("disk"));
  nameless.erase("throttle-group");
  EXPECT_EQ(status_errno(world_.open(nameless).status()), EINVAL);
  EXPECT_TRUE(remove_group("g").ok()) << "a failed opening left its node behind";
}

TEST_F(ThrottleDriverTest, PassesOnWhatTheDiskSaysAndIsAsked) {
  add_group("g", json::object());
  const TestFile file("/dev/shm", 1 << 20);
  Backend& backend = world_.serve(
      throttle_above({{"driver", "file"}, {"node-name", "disk"}, {"filename", file.path()}}));
  EXPECT_EQ(world_.find("t")->driver->describe(), (json{{"throttle-group", "g"}}));
  const std::vector<std::byte> bytes(100'000, std::byte{7});
  EXPECT_TRUE(world_.write(backend, 300'000, bytes).ok());
  EXPECT_EQ(world_.read(backend, 300'000, bytes.size()), bytes);
  EXPECT_TRUE(world_.write_zeroes(backend, {300'000, 50'000}).ok());
  EXPECT_EQ(world_.read(backend, 300'000, 50'000), std::vector<std::byte>(50'000));
  EXPECT_TRUE(world_.discard(backend, {0, 262'144}).ok());
  EXPECT_TRUE(world_.status(backend, {0, 262'144})->zero);
  EXPECT_TRUE(world_.flush(backend).ok());
  EXPECT_TRUE(world_.resize(backend, 2 << 20).ok());
  EXPECT_EQ(world_.find("t")->size(), 2u << 20);
  EXPECT_EQ(world_.find("disk")->size(), 2u << 20);
}

// Threads, changes of limits and drains together: for ThreadSanitizer.
TEST_F(ThrottleDriverTest, RequestsOfManyThreadsGoThroughWhileLimitsChangeAndNodesAreDrained) {
  add_group("g", {{"iops-total", 20'000}, {"bps-read", 1 << 30}});
  json second = throttle_above(null_below("disk2"));
  second["node-name"] = "t2";
  Backend& one = world_.serve(throttle_above(null_below("disk1")));
  Backend& two = world_.serve(second);
  constexpr int kRequests = 200;
  std::atomic<int> passed{0};
  std::vector<std::function<void()>> functions;
  for (int i = 0; i < 16; ++i) {
    functions.push_back([&, i] {
      assert_in_coroutine();
      std::vector<std::byte> bytes(4096);
      for (int round = 0; round < kRequests; ++round) {
        Backend& backend = (i + round) % 3 == 0 ? two : one;
        const bool reads = (i + round) % 2 == 0;
        EXPECT_TRUE((reads ? co_read(backend, 0, bytes) : co_write(backend, 0, bytes)).ok());
        passed.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (int i = 0; i < 2; ++i) {
    functions.push_back([&, i] {
      assert_in_coroutine();
      for (int round = 0; round < 20; ++round) {
        if (i == 0) {
          DrainedSection section(world_.graph());
          EXPECT_TRUE(section.co_begin({round % 2 == 0 ? "t" : "t2"}).ok());
          section.co_end();
        } else {
          const auto group = throttle_groups(world_.drivers()).find("g");
          group->set_limits(round % 3 == 0 ? ThrottleLimits{}
                                           : parsed({{"iops-total", 10'000 + 1000 * round}}));
        }
        co_pause();
      }
    });
  }
  world_.run_all(functions);
  EXPECT_EQ(passed.load(), 16 * kRequests);
  EXPECT_EQ(throttle_groups(world_.drivers()).find("g")->waiting(), 0u);
}

}  // namespace
}  // namespace penstock

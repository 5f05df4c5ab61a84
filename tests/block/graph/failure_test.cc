// SPDX-License-Identifier: Apache-2.0
// Each step of each change of the graph fails in turn: afterwards graph, permissions, locks that
// drivers were asked for, sizes and data are as they were, and nothing is left under way.
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/graph/redirect_users.h"
#include "block/graph/reopen.h"
#include "block/graph/replace_child.h"
#include "block/graph/resize.h"
#include "tests/block/graph/graph_dump.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

constexpr const char* kNames[] = {"alt", "base", "file", "filter", "new", "top", ""};

NodeOptions read_only(NodeOptions options) {
  options.read_only = true;
  return options;
}

NodeOptions top_above(const std::string& file, const std::string& backing) {
  NodeOptions options = spy_above("spy-format", "top", file);
  options.children["backing"].reference = backing;
  return options;
}

// On a virtual clock, so that a drain that never ends is soon over.
class FailureTest : public testing::Test {
 protected:
  using Operation = std::function<absl::Status(Graph&)>;

  FailureTest() : world_(2, 1), scope_(world_.context(0)) {
    spies_.register_drivers(registry_);
    graph_ = std::make_unique<Graph>(registry_, host_);
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      for (const char* name : {"file", "alt", "base"}) {
        EXPECT_OK(graph_->co_open(spy_options(name)).status());
      }
      EXPECT_OK(graph_->co_open(top_above("file", "base")).status());
      EXPECT_OK(graph_->co_open(spy_above("spy-filter", "filter", std::string("alt"))).status());
      backend_ = *graph_->co_attach_backend("export", *graph_->find("top"), kWriter);
      for (unsigned block = 0; block < 4; ++block) {
        EXPECT_OK(co_write_block(*backend_, block, 100 + block));
      }
    });
  }
  ~FailureTest() override {
    install(nullptr);
    control([this] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_OK(graph_->co_detach_backend(*backend_));
      bool again = true;
      while (again) {
        again = false;
        for (Node* node : graph_->nodes()) {
          if (!node->parents.empty()) continue;
          again = true;
          EXPECT_OK(graph_->co_close(node->name));
          break;
        }
      }
    });
    EXPECT_EQ(spies_.live(), 0);
    EXPECT_EQ(spies_.violations(), 0u);
  }

  void control(const std::function<void()>& function) {
    bool ended = false;
    world_.context(0).spawn("test", [&] {
      function();
      ended = true;
    });
    ASSERT_TRUE(world_.run_until([&] { return ended; })) << "it is stuck";
  }

  // All hooks of all drivers. A permission that only narrows is never refused, as no lock is taken
  // for it.
  void install(std::function<absl::Status()> step, bool of_requests = true) {
    for (const char* name : kNames) {
      Spy& spy = spies_.of(name);
      spy.on_load = step;
      spy.on_request = of_requests ? step : nullptr;
      spy.on_reopen = step;
      spy.on_prepare = nullptr;
      if (!step) continue;
      spy.on_prepare = [&spy, step](const Permissions& wanted) {
        const Permission taken = wanted.taken & ~spy.permissions.taken;
        const Permission kept = spy.permissions.shared & ~wanted.shared;
        return taken == 0 && kept == 0 ? absl::OkStatus() : step();
      };
    }
  }

  std::string dump() {
    std::string text;
    control([&] {
      assert_control_thread();
      text = dump_graph(*graph_);
    });
    for (const char* name : kNames) {
      const Spy& spy = spies_.of(name);
      text += std::string(name) + ": " + std::to_string(spy.permissions.taken) + "/" +
              std::to_string(spy.permissions.shared) + " prepared " + std::to_string(spy.prepared) +
              " drained " + std::to_string(spy.drained.load()) + " live " +
              std::to_string(spy.live.load()) + " data";
      for (unsigned block = 0; block < 4; ++block) {
        text += " " + std::to_string(spy.current[block].load());
      }
      text += "\n";
    }
    return text;
  }

  // How many steps failed until the operation got through all of them.
  int fail_each_step(const Operation& operation, bool of_requests = true) {
    const std::string before = dump();
    for (int failing = 0; failing < 200; ++failing) {
      int at = 0;
      install(
          [&]() -> absl::Status {
            return at++ == failing ? errno_message(EREMOTEIO, "this step failed")
                                   : absl::OkStatus();
          },
          of_requests);
      absl::Status status;
      control([&] {
        assert_in_coroutine();
        assert_control_thread();
        status = operation(*graph_);
      });
      install(nullptr);
      if (status.ok()) {
        EXPECT_LE(at, failing) << "a step failed, and the operation did not";
        return failing;
      }
      EXPECT_EQ(status_errno(status), EREMOTEIO) << status;
      EXPECT_EQ(dump(), before) << "after step " << failing;
    }
    ADD_FAILURE() << "it never got through";
    return 0;
  }

  // A write that does not end keeps the operation from draining.
  void fail_by_a_stuck_request(const Operation& operation) {
    fail_by_a_stuck_request(operation, *backend_, "file");
  }
  // One by this user, which hangs in this node; nothing else gets there.
  void fail_by_a_stuck_request(const Operation& operation, Backend& user,
                               const std::string& where) {
    const std::string before = dump();
    CoEvent inside, release;
    bool ended = false;
    int requests = 0;
    spies_.of(where).on_request = [&] {
      assert_in_coroutine();
      ++requests;
      inside.set();
      release.co_wait();
      return absl::OkStatus();
    };
    world_.context(1).spawn("stuck", [&] {
      assert_in_coroutine();
      EXPECT_OK(co_write_block(user, 3, 103));
      ended = true;
    });
    absl::Status status;
    control([&] {
      assert_in_coroutine();
      assert_control_thread();
      inside.co_wait();
      status = operation(*graph_);
      release.set();
    });
    ASSERT_TRUE(world_.run_until([&] { return ended; }));
    spies_.of(where).on_request = nullptr;
    EXPECT_TRUE(fails_with(status, ETIMEDOUT, {"'" + user.name + "'"}));
    EXPECT_EQ(requests, 1);
    EXPECT_EQ(dump(), before);
  }

  SpyWorld spies_;
  DriverRegistry registry_;
  NoHost host_;
  FakeWorld world_;
  ControlThreadScope scope_;
  std::unique_ptr<Graph> graph_;
  std::unique_ptr<Backend> backend_;
};

TEST_F(FailureTest, Open) {
  EXPECT_GE(fail_each_step([](Graph& graph) {
              assert_in_coroutine();
              assert_control_thread();
              return graph.co_open(spy_above("spy-filter", "new", spy_options(""))).status();
            }),
            2);
}

TEST_F(FailureTest, CloseIsRefusedWhileTheNodeIsUsed) {
  const std::string before = dump();
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(fails_with(graph_->co_close("top"), EBUSY, {"'export'"}));
    EXPECT_TRUE(fails_with(graph_->co_close("alt"), EBUSY, {"'filter'"}));
  });
  EXPECT_EQ(dump(), before);
}

TEST_F(FailureTest, Reopen) {
  const Operation operation = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    return co_reopen(graph, {top_above("file", "alt"), read_only(spy_options("base")),
                             spy_options("file"), spy_above("spy-filter", "filter", "base")});
  };
  fail_by_a_stuck_request(operation);
  // A flush that failed once would fail for ever.
  EXPECT_GE(fail_each_step(operation, /*of_requests=*/false), 5);
}

// A failed flush stays failed until the node is reopened, so that a spy can fail one only once.
TEST_F(FailureTest, AReopeningThatCannotFlushChangesNothing) {
  const std::string before = dump();
  spies_.of("base").on_request = [] { return errno_message(EREMOTEIO, "the flush failed"); };
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_TRUE(fails_with(co_reopen(*graph_, {read_only(spy_options("base"))}), EREMOTEIO,
                           {"'base'", "the flush failed"}));
  });
  EXPECT_EQ(spies_.of("base").flushes, 1u);
  EXPECT_EQ(dump(), before);
  spies_.of("base").on_request = nullptr;
  control([this] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_OK(co_reopen(*graph_, {spy_options("base")}));
  });
}

TEST_F(FailureTest, ReplaceChild) {
  const Operation operation = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    return graph.co_replace_child("top", "file", "alt");
  };
  fail_by_a_stuck_request(operation);
  EXPECT_GE(fail_each_step(operation), 1);
}

TEST_F(FailureTest, InsertAndRemoveAFilter) {
  const Operation insert = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    NodeOptions options = spy_options("new");
    options.driver = "spy-filter";
    return graph.co_insert_filter(options, "top").status();
  };
  const Operation remove = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    return graph.co_remove_filter("new");
  };
  fail_by_a_stuck_request(insert);
  EXPECT_GE(fail_each_step(insert), 2);
  fail_by_a_stuck_request(remove);
  // It opens nothing, and permissions only narrow: no step of it can fail but the drain.
  EXPECT_EQ(fail_each_step(remove), 0);
}

TEST_F(FailureTest, Resize) {
  EXPECT_GE(fail_each_step([](Graph& graph) {
              assert_in_coroutine();
              assert_control_thread();
              return co_resize_node(graph, "base", 64 * Spy::kBlockSize);
            }),
            1);
}

// Filters above get their size together with the node, or the node keeps its own.
TEST_F(FailureTest, ResizeBelowAFilter) {
  const Operation operation = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    return co_resize_node(graph, "alt", 64 * Spy::kBlockSize);
  };
  std::unique_ptr<Backend> user;
  control([&] {
    assert_in_coroutine();
    assert_control_thread();
    user = *graph_->co_attach_backend("user of filter", *graph_->find("filter"), kWriter);
    EXPECT_OK(co_write_block(*user, 3, 103));
  });
  fail_by_a_stuck_request(operation, *user, "alt");
  EXPECT_GE(fail_each_step(operation), 1);
  control([&] {
    assert_in_coroutine();
    assert_control_thread();
    EXPECT_EQ(graph_->find("filter")->size(), 64 * Spy::kBlockSize);
    EXPECT_OK(graph_->co_detach_backend(*user));
  });
}

TEST_F(FailureTest, SeveralChangesTogether) {
  const Operation operation = [](Graph& graph) {
    assert_in_coroutine();
    assert_control_thread();
    std::vector<std::unique_ptr<GraphChange>> changes;
    changes.push_back(std::make_unique<ReplaceChild>("filter", "file", "base"));
    changes.push_back(reopen_change(top_above("file", "alt")));
    changes.push_back(reopen_change(spy_options("file")));
    // Its users by then.
    changes.push_back(std::make_unique<RedirectUsers>("base", "alt"));
    return co_run_changes(graph, changes);
  };
  fail_by_a_stuck_request(operation);
  EXPECT_GE(fail_each_step(operation), 3);
}

}  // namespace
}  // namespace penstock

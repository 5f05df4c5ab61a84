// SPDX-License-Identifier: Apache-2.0
// Commands that meet in the middle: each is held at one of its waits while another one comes.
#include <cerrno>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "block/graph/reopen.h"
#include "block/graph/resize.h"
#include "block/graph/retire.h"
#include "iothreads/co_event.h"
#include "iothreads/coroutine.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

class InterleavingTest : public GraphFixture {
 protected:
  // One command beside others.
  struct Command {
    CoEvent ended;
    absl::Status status;
  };

  NodeOptions filter(const std::string& name) {
    NodeOptions options = spy_options(name);
    options.driver = "spy-filter";
    return options;
  }
  // In a coroutine of the control thread, which goes on beside it.
  void start(Command& command, std::function<absl::Status()> function) {
    control_->context().spawn("command", [&command, function = std::move(function)] {
      command.status = function();
      command.ended.set();
    });
  }
  void start_insertion(Command& command, const std::string& name) {
    start(command, [this, name] {
      assert_in_coroutine();
      assert_control_thread();
      return graph_->co_insert_filter(filter(name), "disk").status();
    });
  }
  std::string child_of(const Node* node) {
    const Child* const edge = node->find_child("file");
    return edge == nullptr ? "" : edge->node->name;
  }
};

TEST_F(InterleavingTest, TwoFiltersThatAreInsertedAtOnceBothStandAboveTheNode) {
  ASSERT_OK(open(spy_options("disk")));
  auto backend = attach("export", "disk", kWriter);
  ASSERT_OK(backend.status());
  int opening = 0;
  CoEvent both_open;
  for (const char* name : {"f1", "f2"}) {
    spies_.of(name).on_load = [&] {
      assert_in_coroutine();
      if (++opening == 2) both_open.set();
      both_open.co_wait();
      return absl::OkStatus();
    };
  }
  Command first, second;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    start_insertion(first, "f1");
    start_insertion(second, "f2");
    first.ended.co_wait();
    second.ended.co_wait();
    EXPECT_OK(first.status);
    EXPECT_OK(second.status);
    const Node* const top = (*backend)->root.node;
    const std::string below = top->name == "f1" ? "f2" : "f1";
    EXPECT_EQ(child_of(top), below);
    EXPECT_EQ(child_of(graph_->find(below)), "disk");
  });
  EXPECT_OK(detach(*backend));
}

TEST_F(InterleavingTest, ABackendThatAnInsertionNamesIsDetachedAfterIt) {
  ASSERT_OK(open(spy_options("disk")));
  auto backend = attach("export", "disk", kWriter);
  ASSERT_OK(backend.status());
  CoEvent preparing, go_on;
  spies_.of("").on_prepare = [&](const Permissions& permissions) {
    assert_in_coroutine();
    if (permissions.taken == 0) return absl::OkStatus();
    preparing.set();
    go_on.co_wait();
    return absl::OkStatus();
  };
  Command insertion, detaching;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    start_insertion(insertion, "");
    preparing.co_wait();
    start(detaching, [&] {
      assert_in_coroutine();
      assert_control_thread();
      absl::Status status = graph_->co_detach_backend(**backend);
      backend->reset();
      return status;
    });
    for (int i = 0; i < 100; ++i) co_pause();
    EXPECT_FALSE(detaching.ended.is_set());
    go_on.set();
    insertion.ended.co_wait();
    detaching.ended.co_wait();
    EXPECT_OK(insertion.status);
    EXPECT_OK(detaching.status);
  });
  // The filter has no name of its own: it went with its last user.
  EXPECT_EQ(spies_.live(), 1);
}

TEST_F(InterleavingTest, ANodeThatIsBeingClosedTakesPartInNoChange) {
  ASSERT_OK(open(spy_options("disk")));
  ASSERT_OK(open(spy_options("other")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("disk"))));
  CoEvent closing, go_on;
  spies_.of("top").on_inactivate = [&] {
    assert_in_coroutine();
    closing.set();
    go_on.co_wait();
    return absl::OkStatus();
  };
  Command close, replacement, insertion;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    start(close, [this] {
      assert_in_coroutine();
      assert_control_thread();
      return graph_->co_close("top");
    });
    closing.co_wait();
    EXPECT_TRUE(
        fails_with(co_reopen(*graph_, {spy_above("spy-filter", "top", std::string("disk"))}), EBUSY,
                   {"'top'", "being closed"}));
    EXPECT_TRUE(fails_with(graph_->co_replace_child("top", "file", "other"), EBUSY, {"'top'"}));
    // It would move an edge of the node that goes, and so begins when that has gone.
    start_insertion(insertion, "f1");
    for (int i = 0; i < 100; ++i) co_pause();
    EXPECT_FALSE(insertion.ended.is_set());
    go_on.set();
    close.ended.co_wait();
    insertion.ended.co_wait();
    EXPECT_OK(close.status);
    EXPECT_OK(insertion.status);
    EXPECT_EQ(graph_->find("top"), nullptr);
  });
}

TEST_F(InterleavingTest, AnOrphanThatAnotherCommandClosesIsAwaited) {
  std::string orphan;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    const absl::StatusOr<Node*> node = graph_->co_open(spy_options(""));
    ASSERT_OK(node.status());
    orphan = (*node)->name;
  });
  CoEvent closing, go_on;
  spies_.of("").on_inactivate = [&] {
    assert_in_coroutine();
    closing.set();
    go_on.co_wait();
    return absl::OkStatus();
  };
  Command first, second;
  const auto close_it = [&] {
    assert_in_coroutine();
    assert_control_thread();
    return co_close_orphans(*graph_, {orphan});
  };
  on_control([&] {
    assert_in_coroutine();
    start(first, close_it);
    closing.co_wait();
    start(second, close_it);
    for (int i = 0; i < 100; ++i) co_pause();
    EXPECT_FALSE(second.ended.is_set());
    go_on.set();
    first.ended.co_wait();
    second.ended.co_wait();
  });
  EXPECT_OK(first.status);
  EXPECT_OK(second.status);
  EXPECT_EQ(spies_.live(), 0);
}

TEST_F(InterleavingTest, AResizeWithARequestThatHangsKeepsOthersOutForAMomentOnly) {
  ASSERT_OK(open(spy_above("spy-format", "disk", spy_options("file"))));
  auto backend = attach("export", "disk", kWriter);
  ASSERT_OK(backend.status());
  const auto resize = [this](uint64_t size) {
    assert_in_coroutine();
    assert_control_thread();
    return co_resize_node(*graph_, "disk", size);
  };
  // From the first resize on requests are told apart by their ranges.
  EXPECT_OK(on_control([&] { return resize((Spy::kBlocks + 1) * Spy::kBlockSize); }));
  CoEvent held, go_on, answered;
  spies_.of("disk").on_request = [&] {
    assert_in_coroutine();
    if (held.is_set()) return absl::OkStatus();
    held.set();
    go_on.co_wait();
    return absl::OkStatus();
  };
  io(0).spawn("held", [&] {
    assert_in_coroutine();
    EXPECT_OK(co_read_block(**backend, 1).status());
    answered.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    held.co_wait();
    EXPECT_OK(resize((Spy::kBlocks + 2) * Spy::kBlockSize));
    EXPECT_TRUE(graph_->changes().sections.empty());
    EXPECT_EQ(graph_->backends().size(), 1u);
    EXPECT_EQ(graph_->find("disk")->size(), (Spy::kBlocks + 2) * Spy::kBlockSize);
    EXPECT_FALSE(answered.is_set());
    go_on.set();
    answered.co_wait();
  });
  EXPECT_OK(detach(*backend));
}

}  // namespace
}  // namespace penstock

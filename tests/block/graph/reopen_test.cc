// SPDX-License-Identifier: Apache-2.0
#include "block/graph/reopen.h"

#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_dump.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

NodeOptions read_only(NodeOptions options) {
  options.read_only = true;
  return options;
}

NodeOptions with_backing(NodeOptions options, const std::string& backing) {
  options.children["backing"].reference = backing;
  return options;
}

class ReopenTest : public GraphFixture {
 protected:
  ReopenTest() : GraphFixture(2) {}

  absl::Status reopen(const std::vector<NodeOptions>& nodes) {
    return on_control([&] {
      assert_in_coroutine();
      assert_control_thread();
      return co_reopen(*graph_, nodes);
    });
  }
  std::string dump() {
    return on_control([&] {
      assert_control_thread();
      return dump_graph(*graph_);
    });
  }
  testing::AssertionResult refuses(const std::vector<NodeOptions>& nodes, int error_number,
                                   const std::vector<std::string>& texts) {
    const std::string before = dump();
    testing::AssertionResult result = fails_with(reopen(nodes), error_number, texts);
    if (result && dump() != before) {
      return testing::AssertionFailure() << before << "became\n" << dump();
    }
    return result;
  }
  bool is_read_only(const std::string& name) {
    return on_control([&] {
      assert_control_thread();
      return graph_->find(name)->read_only;
    });
  }
  std::string child_of(const std::string& name, const std::string& child) {
    return on_control([&]() -> std::string {
      assert_control_thread();
      const Child* edge = graph_->find(name)->find_child(child);
      return edge == nullptr ? "none" : edge->node->name;
    });
  }
};

TEST_F(ReopenTest, ANodeBecomesReadOnlyAndWritableAgain) {
  ASSERT_OK(open(spy_options("disk")));
  auto reader = attach("reader", "disk", kReader);
  ASSERT_OK(reopen({read_only(spy_options("disk"))}));
  EXPECT_TRUE(is_read_only("disk"));
  EXPECT_TRUE(fails_with(attach("writer", "disk", kWriter).status(), EROFS, {"read-only"}));
  ASSERT_OK(reopen({spy_options("disk")}));
  EXPECT_FALSE(is_read_only("disk"));
  auto writer = attach("writer", "disk", kWriter);
  ASSERT_OK(writer.status());
  run_sync(io(0), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**writer, 1, 7));
  });
  EXPECT_EQ(spies_.of("disk").permissions.taken, kWriter.taken);
  EXPECT_OK(detach(*writer));
  EXPECT_OK(detach(*reader));
  EXPECT_EQ(spies_.live(), 1);
}

TEST_F(ReopenTest, AWriterKeepsANodeWritableAndBothAreNamed) {
  ASSERT_OK(open(spy_options("disk")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("disk"))));
  auto writer = attach("writer", "top", kWriter);
  EXPECT_TRUE(
      refuses({read_only(spy_options("disk"))}, EBUSY, {"'disk'", "read-only", "'top'", "write"}));
  EXPECT_TRUE(refuses({read_only(spy_above("spy-filter", "top", std::string("disk")))}, EBUSY,
                      {"'top'", "'writer'"}));
  EXPECT_OK(detach(*writer));
  EXPECT_OK(reopen({read_only(spy_options("disk"))}));
}

TEST_F(ReopenTest, WhatWasWrittenIsDurableBeforeANodeBecomesReadOnly) {
  ASSERT_OK(open(spy_options("disk")));
  auto writer = attach("writer", "disk", kWriter);
  run_sync(io(0), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**writer, 1, 7));
  });
  ASSERT_OK(detach(*writer));
  spies_.of("disk").on_request = [] { return errno_status(EIO, "the flush"); };
  EXPECT_TRUE(refuses({read_only(spy_options("disk"))}, EIO, {"'disk'", "read-only"}));
  // The failure is remembered; another driver starts anew.
  spies_.of("disk").on_request = nullptr;
  EXPECT_TRUE(refuses({read_only(spy_options("disk"))}, EIO, {"'disk'"}));
  ASSERT_OK(reopen({spy_options("disk")}));
  ASSERT_OK(reopen({read_only(spy_options("disk"))}));
  EXPECT_EQ(spies_.of("disk").durable[1], 7u);
}

TEST_F(ReopenTest, NodesAndOptionsThatCannotBeAreNamed) {
  spies_.of("top").keeps_its_storage = true;
  ASSERT_OK(open(spy_options("disk")));
  ASSERT_OK(open(spy_options("other")));
  ASSERT_OK(open(with_backing(spy_above("spy-format", "top", spy_options("")), "disk")));
  EXPECT_TRUE(refuses({spy_options("nobody")}, ENOENT, {"node-name='nobody'"}));
  EXPECT_TRUE(refuses({spy_above("spy-format", "disk", std::string("other"))}, EINVAL,
                      {"'driver'", "'spy'", "'spy-format'"}));
  NodeOptions changed = spy_options("disk");
  changed.driver_options["speed"] = 3;
  EXPECT_TRUE(refuses({changed}, EINVAL, {"'speed'", "'disk'"}));
  EXPECT_TRUE(refuses({spy_options("disk"), spy_options("disk")}, EBUSY, {"'disk'", "once"}));

  NodeOptions top = spy_options("top");
  top.driver = "spy-format";
  EXPECT_TRUE(refuses({with_backing(top, "disk")}, EINVAL, {"'file'", "missing", "'top'"}));
  top.children["file"].inline_options = std::make_shared<NodeOptions>(spy_options(""));
  EXPECT_TRUE(refuses({top}, EINVAL, {"'backing'", "missing", "'top'"}));
  EXPECT_TRUE(refuses({with_backing(top, "nobody")}, ENOENT, {"'nobody'", "'backing'"}));
  top.children["backing"].inline_options = std::make_shared<NodeOptions>(spy_options("disk"));
  EXPECT_TRUE(refuses({top}, EINVAL, {"'disk'", "added by itself"}));
  top.children["backing"] = {};
  top.children["file"] = {};
  EXPECT_TRUE(refuses({top}, EINVAL, {"'file'"}));
  top.children["file"].reference = "other";
  EXPECT_TRUE(refuses({top}, EINVAL, {"'file'", "'other'"}));
  top.children["file"] = {nullptr, ""};
  top.children["file"].inline_options = std::make_shared<NodeOptions>(spy_options("other"));
  EXPECT_TRUE(refuses({top}, EINVAL, {"'file'", "'other'"}));
}

TEST_F(ReopenTest, ABackingNodeIsDetachedAttachedAndReplaced) {
  ASSERT_OK(open(spy_options("base")));
  ASSERT_OK(open(spy_options("alt")));
  NodeOptions top = spy_above("spy-format", "top", spy_options(""));
  ASSERT_OK(open(with_backing(top, "base")));
  auto reader = attach("reader", "top", kReader);
  EXPECT_EQ(spies_.of("base").permissions.taken, kConsistentRead);

  top.children["backing"] = {};
  ASSERT_OK(reopen({top}));
  EXPECT_EQ(child_of("top", "backing"), "none");
  EXPECT_EQ(spies_.of("base").permissions.taken, 0u);
  ASSERT_OK(reopen({top}));
  ASSERT_OK(reopen({with_backing(top, "alt")}));
  EXPECT_EQ(child_of("top", "backing"), "alt");
  EXPECT_EQ(spies_.of("alt").permissions.taken, kConsistentRead);
  ASSERT_OK(reopen({with_backing(top, "base")}));
  EXPECT_EQ(child_of("top", "backing"), "base");
  EXPECT_EQ(spies_.of("alt").permissions.taken, 0u);
  EXPECT_OK(close("alt"));
  EXPECT_OK(detach(*reader));
}

TEST_F(ReopenTest, LoopsAreRefused) {
  ASSERT_OK(open(spy_options("base")));
  NodeOptions mid = spy_above("spy-format", "mid", spy_options(""));
  ASSERT_OK(open(with_backing(mid, "base")));
  NodeOptions top = spy_above("spy-format", "top", spy_options(""));
  ASSERT_OK(open(with_backing(top, "mid")));
  EXPECT_TRUE(refuses({with_backing(mid, "top")}, EINVAL, {"loop", "'mid'", "'top'"}));
  EXPECT_TRUE(refuses({with_backing(mid, "mid")}, EINVAL, {"loop"}));
  // Each alone is none, both together are.
  ASSERT_OK(reopen({with_backing(top, "base")}));
  EXPECT_TRUE(refuses({with_backing(mid, "top"), with_backing(top, "mid")}, EINVAL, {"loop"}));
  // Turned round as a whole.
  ASSERT_OK(reopen({with_backing(top, "mid")}));
  ASSERT_OK(reopen({with_backing(mid, "top"), with_backing(top, "base")}));
  EXPECT_EQ(child_of("mid", "backing"), "top");
  EXPECT_EQ(child_of("top", "backing"), "base");
}

TEST_F(ReopenTest, AFiltersChildIsReplacedAndAnUnnamedOldOneGoes) {
  ASSERT_OK(open(spy_options("new")));
  ASSERT_OK(open(spy_above("spy-filter", "top", spy_options(""))));
  auto writer = attach("writer", "top", kWriter);
  ASSERT_OK(reopen({spy_above("spy-filter", "top", std::string("new"))}));
  EXPECT_EQ(spies_.live(), 2);
  EXPECT_EQ(spies_.of("new").permissions.taken, kWriter.taken);
  run_sync(io(0), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**writer, 1, 7));
  });
  EXPECT_EQ(spies_.of("new").current[1], 7u);
  EXPECT_OK(detach(*writer));
}

TEST_F(ReopenTest, AFormatsFileMayComeBelowAFilterAndOutAgain) {
  spies_.of("top").keeps_its_storage = true;
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-filter", "filter", std::string("file"))));
  ASSERT_OK(open(spy_above("spy-format", "top", std::string("file"))));
  ASSERT_OK(reopen({spy_above("spy-format", "top", std::string("filter"))}));
  EXPECT_EQ(child_of("top", "file"), "filter");
  ASSERT_OK(reopen({spy_above("spy-format", "top", std::string("file"))}));
  EXPECT_EQ(child_of("top", "file"), "file");
}

TEST_F(ReopenTest, ChildrenThatGoWithANodeAreReopenedWithIt) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options(""))));
  const std::string file = child_of("top", "file");
  ASSERT_OK(reopen({read_only(spy_above("spy-format", "top", read_only(spy_options(""))))}));
  EXPECT_TRUE(is_read_only("top"));
  EXPECT_TRUE(is_read_only(file));
  ASSERT_OK(reopen({spy_above("spy-format", "top", spy_options(""))}));
  EXPECT_FALSE(is_read_only(file));
  EXPECT_EQ(child_of("top", "file"), file);
  EXPECT_EQ(spies_.live(), 2);
}

TEST_F(ReopenTest, AllNodesAreReopenedOrNone) {
  for (const char* name : {"a", "b", "c"}) ASSERT_OK(open(spy_options(name)));
  const auto all = [] {
    return std::vector<NodeOptions>{read_only(spy_options("a")), read_only(spy_options("b")),
                                    read_only(spy_options("c"))};
  };
  for (const char* name : {"a", "b", "c"}) {
    spies_.of(name).on_reopen = [] { return errno_status(EMFILE, "opening"); };
    EXPECT_TRUE(refuses(all(), EMFILE, {std::string("'") + name + "'"}));
    spies_.of(name).on_reopen = nullptr;
  }
  EXPECT_EQ(spies_.live(), 3);
  ASSERT_OK(reopen(all()));
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(is_read_only(name));
}

// The final state counts: a writer moves away in the same command that makes its node read-only.
TEST_F(ReopenTest, PermissionsAreThoseOfTheFinalState) {
  ASSERT_OK(open(spy_options("old")));
  ASSERT_OK(open(spy_options("new")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("old"))));
  auto writer = attach("writer", "top", kWriter);
  ASSERT_OK(
      reopen({read_only(spy_options("old")), spy_above("spy-filter", "top", std::string("new"))}));
  EXPECT_TRUE(is_read_only("old"));
  EXPECT_EQ(spies_.of("new").permissions.taken, kWriter.taken);
  // And back, in the other order.
  ASSERT_OK(reopen({spy_above("spy-filter", "top", std::string("old")), spy_options("old")}));
  EXPECT_EQ(spies_.of("old").permissions.taken, kWriter.taken);
  EXPECT_OK(detach(*writer));
}

TEST_F(ReopenTest, ANodeThatIsBeingReopenedIsNotReopenedByOthersNorClosed) {
  ASSERT_OK(open(spy_options("disk")));
  CoEvent inside, release;
  spies_.of("disk").on_reopen = [&] {
    assert_in_coroutine();
    inside.set();
    release.co_wait();
    return absl::OkStatus();
  };
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    CoEvent reopened, closed;
    control_->context().spawn("reopen", [&] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_OK(co_reopen(*graph_, {read_only(spy_options("disk"))}));
      reopened.set();
    });
    inside.co_wait();
    EXPECT_TRUE(fails_with(co_reopen(*graph_, {spy_options("disk")}), EBUSY, {"'disk'"}));
    control_->context().spawn("close", [&] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_OK(graph_->co_close("disk"));
      closed.set();
    });
    co_pause();
    EXPECT_NE(graph_->find("disk"), nullptr);
    release.set();
    reopened.co_wait();
    closed.co_wait();
    EXPECT_EQ(graph_->find("disk"), nullptr);
  });
}

}  // namespace
}  // namespace penstock

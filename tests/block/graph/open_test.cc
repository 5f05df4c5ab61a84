// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "block/graph/nesting.h"
#include "block/graph/topology.h"
#include "iothreads/co_event.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

class OpenTest : public GraphFixture {};

TEST_F(OpenTest, OpensInlineChildrenFirstAndNamesThemAll) {
  ASSERT_OK(
      open(spy_above("spy-format", "top", spy_above("spy-filter", "mid", spy_options("low")))));
  EXPECT_EQ(picture().substr(0, 4), "low ");
  EXPECT_EQ(spies_.live(), 3);
  // The filter passes on what the format needs of its image.
  EXPECT_EQ(edge_permissions("top", "file").taken, kConsistentRead);
  EXPECT_EQ(edge_permissions("mid", "file").taken, kConsistentRead);
  EXPECT_OK(close("top"));
  EXPECT_TRUE(fails_with(close("top"), ENOENT, {"'top'"}));
  EXPECT_OK(close("mid"));
}

TEST_F(OpenTest, ReferencesMustExist) {
  const absl::Status status = open(spy_above("spy-format", "top", std::string("nobody")));
  EXPECT_TRUE(fails_with(status, ENOENT, {"nobody", "top", "file"}));
  EXPECT_EQ(picture(), "");
}

TEST_F(OpenTest, NamesAreUniqueEvenWhileTheFirstIsStillLoading) {
  CoEvent loading, go_on;
  spies_.of("a").on_load = [&] {
    assert_in_coroutine();
    loading.set();
    go_on.co_wait();
    return absl::OkStatus();
  };
  absl::Status first = absl::UnknownError("not yet");
  CoEvent done;
  control_->context().spawn("open", [&] {
    assert_in_coroutine();
    assert_control_thread();
    first = graph_->co_open(spy_options("a")).status();
    done.set();
  });
  const absl::Status second = on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    loading.co_wait();
    // A slow open stops no other command.
    EXPECT_OK(graph_->co_open(spy_options("b")).status());
    absl::Status status = graph_->co_open(spy_options("a")).status();
    go_on.set();
    done.co_wait();
    return status;
  });
  EXPECT_OK(first);
  EXPECT_TRUE(fails_with(second, EEXIST, {"'a'"}));
}

TEST(QuotedName, AMadeUpNameComesWithTheImageThatItStandsFor) {
  Node file("#block001", false, "file");
  file.file_name = "/images/a\nb";
  Node format("#block002", false, "qcow2");
  EXPECT_EQ(quoted_name(format), "'#block002'");
  format.children.push_back(std::make_unique<Child>("file", ChildRole::kFiltered));
  format.children.back()->node = &file;
  EXPECT_EQ(quoted_name(format), "'#block002' (of '/images/a\\x0ab')");
  format.children.clear();
  Node named("disk", true, "file");
  named.file_name = "/images/disk";
  EXPECT_EQ(quoted_name(named), "'disk'");
}

TEST_F(OpenTest, UnknownDriversAndMissingFilesAreRefused) {
  NodeOptions options = spy_options("a");
  options.driver = "nonesuch";
  EXPECT_TRUE(fails_with(open(options), ENOENT, {"nonesuch", "spy-format"}));
  options.driver = "spy-format";
  EXPECT_TRUE(fails_with(open(options), EINVAL, {"'file'"}));
  EXPECT_TRUE(fails_with(open(spy_options("#a")), EINVAL, {"'#a'"}));
  EXPECT_EQ(picture(), "");
}

// Every step of an open with a wanted child, one after the other, fails; nothing is left.
TEST_F(OpenTest, AFailureAtAnyStepLeavesNothing) {
  NodeOptions backing = spy_above("spy-format", "backing", spy_options("backing-file"));
  spies_.of("top").wanted_children["backing"].inline_options =
      std::make_shared<NodeOptions>(backing);
  const NodeOptions options = spy_above("spy-format", "top", spy_options("file"));
  ASSERT_OK(open(spy_options("other")));
  const std::string before = picture();

  for (const char* name : {"file", "top", "backing-file", "backing"}) {
    Spy& spy = spies_.of(name);
    spy.on_load = [] { return errno_status(EIO, "the header cannot be read"); };
    EXPECT_TRUE(fails_with(open(options), EIO, {name, "the header cannot be read"}));
    spy.on_load = nullptr;
    EXPECT_EQ(picture(), before) << name;
    EXPECT_EQ(spies_.live(), 1) << name;
  }
  // The backing file itself is used by nobody yet, so that it asks for nothing.
  for (const char* name : {"file", "backing-file"}) {
    Spy& spy = spies_.of(name);
    spy.on_prepare = [](const Permissions& permissions) {
      if (permissions.taken == 0) return absl::OkStatus();
      return errno_status(EAGAIN, "locked by another process");
    };
    EXPECT_TRUE(fails_with(open(options), EAGAIN, {name, "locked by another process"}));
    spy.on_prepare = nullptr;
    EXPECT_EQ(picture(), before) << name;
    EXPECT_EQ(spies_.live(), 1) << name;
    EXPECT_EQ(spy.prepared, 0) << name;
  }
  ASSERT_OK(open(options));
  EXPECT_EQ(spies_.live(), 5);
}

TEST_F(OpenTest, AnExplicitlyEmptyChildSuppressesTheWantedOne) {
  spies_.of("top").wanted_children["backing"].reference = "does-not-exist";
  NodeOptions options = spy_above("spy-format", "top", spy_options("file"));
  options.children["backing"] = {};
  ASSERT_OK(open(options));
  EXPECT_EQ(picture().find("backing"), std::string::npos);
}

TEST_F(OpenTest, LongChainsOpenAndClose) {
  const auto chain = [](const std::string& name, int length) {
    NodeOptions options = spy_options(name + "0");
    for (int i = 1; i < length; ++i) {
      auto below = std::make_shared<NodeOptions>(std::move(options));
      const std::string layer = name + std::to_string(i);
      options = spy_above("spy-format", layer, spy_options(layer + "-file"));
      options.children["backing"].inline_options = std::move(below);
    }
    return options;
  };
  ASSERT_OK(open(chain("n", 250)));
  EXPECT_EQ(spies_.live(), 250 + 249);
  EXPECT_TRUE(fails_with(open(chain("m", 300)), EINVAL, {"256"}));
}

TEST_F(OpenTest, NodesStandOnlySoDeepBelowEachOther) {
  const auto stack = [](const std::string& name, size_t filters) {
    NodeOptions options = spy_options(name);
    for (size_t i = 1; i <= filters; ++i) {
      options = spy_above("spy-filter", name + std::to_string(i), std::move(options));
    }
    return options;
  };
  ASSERT_OK(open(stack("n", kMaxNesting)));
  EXPECT_TRUE(fails_with(open(stack("m", kMaxNesting + 1)), EINVAL, {"Leave some out"}));
  const std::string before = picture();
  NodeOptions above = spy_options("above");
  above.driver = "spy-filter";
  NodeOptions below = above;
  below.node_name = "below";
  EXPECT_TRUE(fails_with(insert_filter(above, "n" + std::to_string(kMaxNesting)), EINVAL,
                         {"32", "above each other"}));
  EXPECT_TRUE(fails_with(insert_filter(below, "n"), EINVAL, {"above each other"}));
  EXPECT_EQ(picture(), before);
}

TEST_F(OpenTest, ANodeOpenedInsideADrainOfAllIsBornDrained) {
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    DrainedSection all(*graph_);
    ASSERT_OK(all.co_begin_all());
    absl::StatusOr<Node*> node = graph_->co_open(spy_options("late"));
    ASSERT_OK(node.status());
    EXPECT_EQ((*node)->drain_depth, 1);
    EXPECT_EQ(spies_.of("late").drained, 1);
    auto backend = graph_->co_attach_backend("b", **node, kWriter);
    ASSERT_OK(backend.status());
    EXPECT_EQ((*backend)->gate.quiesce_depth(), 1);
    all.co_end();
    EXPECT_EQ((*node)->drain_depth, 0);
    EXPECT_EQ((*backend)->gate.quiesce_depth(), 0);
    EXPECT_EQ(spies_.of("late").drained, 0);
    EXPECT_OK(graph_->co_detach_backend(**backend));
  });
}

}  // namespace
}  // namespace penstock

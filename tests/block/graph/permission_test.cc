// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

class PermissionTest : public GraphFixture {};

TEST_F(PermissionTest, AConflictNamesBothUsersAndThePermission) {
  ASSERT_OK(open(spy_options("disk")));
  auto first = attach("export0", "disk", kSoleWriter);
  ASSERT_OK(first.status());
  const std::string before = picture();
  auto second = attach("job1", "disk", kWriter);
  EXPECT_TRUE(fails_with(second.status(), EBUSY, {"'disk'", "'export0'", "'job1'", "write"}));
  EXPECT_EQ(picture(), before);
  // The other way round: the newcomer does not share what the first one has.
  auto third = attach("job2", "disk", {kConsistentRead, kConsistentRead});
  EXPECT_TRUE(fails_with(third.status(), EBUSY, {"'export0'", "'job2'", "write"}));
  EXPECT_OK(detach(*first));
  second = attach("job1", "disk", kWriter);
  EXPECT_OK(second.status());
  EXPECT_OK(detach(*second));
}

TEST_F(PermissionTest, AConflictFarBelowIsFoundAndNamesTheNodes) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-format", "a", std::string("file"))));
  ASSERT_OK(open(spy_above("spy-filter", "b", std::string("file"))));
  const std::string before = picture();
  auto writer = attach("export", "b", kWriter);
  EXPECT_TRUE(fails_with(writer.status(), EBUSY, {"'file'", "node 'a'", "node 'b'", "write"}));
  EXPECT_EQ(picture(), before);
  EXPECT_EQ(spies_.of("file").prepared, 0);
}

TEST_F(PermissionTest, WritingAReadOnlyNodeIsRefused) {
  NodeOptions options = spy_options("disk");
  options.read_only = true;
  ASSERT_OK(open(options));
  EXPECT_TRUE(fails_with(attach("export", "disk", kWriter).status(), EROFS,
                         {"'disk'", "read-only", "'export'"}));
  auto reader = attach("export", "disk", kReader);
  EXPECT_OK(reader.status());
  EXPECT_OK(detach(*reader));
}

// A filter that needs to be alone with what its users do not share: in a diamond the node below
// both arms must be computed after both, else the first arm's new needs meet the second arm's old
// ones.
TEST_F(PermissionTest, ADiamondIsComputedParentsFirst) {
  ASSERT_OK(open(spy_options("low")));
  ASSERT_OK(open(spy_above("spy-filter", "left", std::string("low"))));
  ASSERT_OK(open(spy_above("spy-filter", "right", std::string("low"))));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("left"))));
  // `top` uses both arms. It takes write on one of them only, exclusively: on `left` first, later,
  // after a change of its mode, on `right`.
  bool write_left = true;
  Spy& top = spies_.of("top");
  top.child_permissions = [&](const Child& child, const Permissions& parents) {
    const bool active = (child.node->name == "left") == write_left;
    if ((parents.taken & kWrite) == 0) return Permissions{0, kAllPermissions};
    return active ? Permissions{kWrite | kWriteUnchanged, kAllPermissions & ~kWrite}
                  : Permissions{0, kAllPermissions};
  };
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    // A second edge of the same node, as a format with two images has.
    Node* node = graph_->find("top");
    auto edge = std::make_unique<Child>("second", ChildRole::kFiltered);
    edge->parent = node;
    edge->node = graph_->find("right");
    edge->node->parents.push_back(edge.get());
    node->children.push_back(std::move(edge));
  });
  auto writer = attach("export", "top", kWriter);
  ASSERT_OK(writer.status());
  EXPECT_EQ(edge_permissions("left", "file").taken & kWrite, kWrite);
  EXPECT_EQ(edge_permissions("right", "file").taken & kWrite, 0u);

  write_left = false;
  auto second = attach("reader", "top", kReader);
  ASSERT_OK(second.status());
  EXPECT_EQ(edge_permissions("left", "file").taken & kWrite, 0u);
  EXPECT_EQ(edge_permissions("right", "file").taken & kWrite, kWrite);
  EXPECT_OK(detach(*second));
  EXPECT_OK(detach(*writer));
  EXPECT_EQ(edge_permissions("right", "file").taken & kWrite, 0u);
}

TEST_F(PermissionTest, AnExclusiveWriterMayMoveToANewNode) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("file"))));
  auto writer = attach("export", "top", kSoleWriter);
  ASSERT_OK(writer.status());
  // The filter takes the same exclusive permissions on the same node in the moment in which the
  // old edge loses them: the old one must not veto it.
  EXPECT_OK(insert_filter(
      [] {
        NodeOptions options = spy_options("filter");
        options.driver = "spy-filter";
        return options;
      }(),
      "file"));
  EXPECT_EQ(edge_permissions("filter", "file").taken, kSoleWriter.taken);
  EXPECT_EQ(edge_permissions("filter", "file").shared, kSoleWriter.shared);
  EXPECT_OK(detach(*writer));
}

TEST_F(PermissionTest, AFailedPreparationChangesNothing) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("file"))));
  const std::string before = picture();
  spies_.of("file").on_prepare = [](const Permissions&) { return errno_status(EAGAIN, "locked"); };
  EXPECT_TRUE(fails_with(attach("export", "top", kWriter).status(), EAGAIN, {"'file'", "locked"}));
  spies_.of("file").on_prepare = nullptr;
  EXPECT_EQ(picture(), before);
  EXPECT_EQ(spies_.of("top").prepared, 0);
  EXPECT_EQ(spies_.of("file").prepared, 0);
  EXPECT_EQ(spies_.of("top").permissions.taken, 0u);
}

TEST_F(PermissionTest, WideningDrainsNobodyAndNarrowingDrainsTheParentOnly) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-filter", "top", std::string("file"))));
  const uint64_t top_before = spies_.of("top").drain_begins;
  auto writer = attach("export", "top", kWriter);
  ASSERT_OK(writer.status());
  EXPECT_EQ(spies_.of("top").drain_begins, top_before);
  EXPECT_OK(detach(*writer));
  EXPECT_EQ(spies_.of("top").drain_begins, top_before + 1);
  EXPECT_EQ(edge_permissions("top", "file").taken, 0u);
}

// Two commands prepare the same driver: one after the other, each commits its own.
TEST_F(PermissionTest, PreparationsOfOneDriverDoNotMix) {
  ASSERT_OK(open(spy_options("disk")));
  CoEvent first_inside, go_on, first_done;
  int calls = 0;
  spies_.of("disk").on_prepare = [&](const Permissions&) {
    assert_in_coroutine();
    if (calls++ == 0) {
      first_inside.set();
      go_on.co_wait();
    }
    return absl::OkStatus();
  };
  std::unique_ptr<Backend> one, two;
  control_->context().spawn("attach", [&] {
    assert_in_coroutine();
    assert_control_thread();
    one = *graph_->co_attach_backend("one", *graph_->find("disk"), kReader);
    first_done.set();
  });
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    first_inside.co_wait();
    control_->context().spawn("wake", [&] {
      assert_in_coroutine();
      for (int i = 0; i < 50; ++i) co_pause();
      EXPECT_EQ(calls, 1);
      go_on.set();
    });
    two = *graph_->co_attach_backend("two", *graph_->find("disk"), kWriter);
    first_done.co_wait();
  });
  EXPECT_EQ(spies_.of("disk").permissions.taken, kWriter.taken);
  EXPECT_EQ(spies_.of("disk").prepared, 0);
  EXPECT_OK(detach(one));
  EXPECT_OK(detach(two));
}

}  // namespace
}  // namespace penstock

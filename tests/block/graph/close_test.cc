// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_fixture.h"

namespace penstock {
namespace {

class CloseTest : public GraphFixture {};

TEST_F(CloseTest, ANodeInUseStaysAndItsUsersAreNamed) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  auto backend = attach("export0", "top", kReader);
  ASSERT_OK(backend.status());
  EXPECT_TRUE(fails_with(close("top"), EBUSY, {"'top'", "'export0'"}));
  EXPECT_TRUE(fails_with(close("file"), EBUSY, {"'file'", "'top'"}));
  EXPECT_OK(detach(*backend));
  EXPECT_OK(close("top"));
  EXPECT_OK(close("file"));
}

TEST_F(CloseTest, UnnamedChildrenGoWithTheirLastParent) {
  NodeOptions unnamed = spy_above("spy-filter", "", spy_options(""));
  ASSERT_OK(open(spy_above("spy-format", "top", unnamed)));
  EXPECT_EQ(spies_.live(), 3);
  EXPECT_OK(close("top"));
  EXPECT_EQ(spies_.live(), 0);
  EXPECT_EQ(picture(), "");
}

TEST_F(CloseTest, AnUnnamedNodeGoesWithItsLastBackend) {
  ASSERT_OK(open(spy_options("")));
  auto one = attach("one", "#block000", kReader);
  auto two = attach("two", "#block000", kReader);
  ASSERT_OK(detach(*one));
  EXPECT_EQ(spies_.live(), 1);
  ASSERT_OK(detach(*two));
  EXPECT_EQ(spies_.live(), 0);
}

TEST_F(CloseTest, AFailedWriteBackIsReportedAndTheNodeIsGone) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  spies_.of("top").on_inactivate = [] { return errno_status(ENOSPC, "no room for the tables"); };
  EXPECT_TRUE(fails_with(close("top"), ENOSPC, {"'top'", "no room for the tables"}));
  EXPECT_EQ(spies_.live(), 1);
  EXPECT_OK(close("file"));
}

TEST_F(CloseTest, InactivationFindsItsDriverDrainedAndItsChildrenUsable) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  Spy& top = spies_.of("top");
  top.on_inactivate = [&] {
    EXPECT_EQ(top.drained, 1);
    EXPECT_EQ(spies_.of("file").drained, 0);
    return absl::OkStatus();
  };
  EXPECT_OK(close("top"));
  EXPECT_EQ(top.inactivations, 1u);
  EXPECT_EQ(top.drained, 0);
}

TEST_F(CloseTest, PermissionsOfTheChildAreGivenBack) {
  ASSERT_OK(open(spy_options("file")));
  ASSERT_OK(open(spy_above("spy-format", "top", std::string("file"))));
  EXPECT_EQ(spies_.of("file").permissions.taken, kConsistentRead);
  EXPECT_NE(spies_.of("file").permissions.shared, kAllPermissions);
  EXPECT_OK(close("top"));
  EXPECT_EQ(spies_.of("file").permissions, (Permissions{0, kAllPermissions}));
}

TEST_F(CloseTest, AClosingNodeWaitsForADrainBelowIt) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  CoEvent closed;
  on_control([&] {
    assert_in_coroutine();
    assert_control_thread();
    DrainedSection section(*graph_);
    ASSERT_OK(section.co_begin({"file"}));
    control_->context().spawn("close", [&] {
      assert_in_coroutine();
      assert_control_thread();
      EXPECT_OK(graph_->co_close("top"));
      closed.set();
    });
    for (int i = 0; i < 100; ++i) co_pause();
    EXPECT_EQ(spies_.of("top").inactivations, 0u);
    // Nobody new may use what is being closed.
    EXPECT_TRUE(
        fails_with(graph_->co_attach_backend("late", *graph_->find("top"), kReader).status(), EBUSY,
                   {"'top'", "being closed"}));
    section.co_end();
    closed.co_wait();
    EXPECT_EQ(spies_.of("top").inactivations, 1u);
  });
}

}  // namespace
}  // namespace penstock

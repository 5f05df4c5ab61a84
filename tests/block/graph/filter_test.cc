// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_fixture.h"
#include "tests/block/graph/request_load.h"

namespace penstock {
namespace {

NodeOptions filter_options(const std::string& name) {
  NodeOptions options = spy_options(name);
  options.driver = "spy-filter";
  return options;
}

class FilterTest : public GraphFixture {};

TEST_F(FilterTest, AFilterComesBetweenANodeAndAllItsUsersAndGoesAgain) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  auto direct = attach("direct", "file", kReader);
  auto above = attach("above", "top", kWriter);
  ASSERT_OK(above.status());
  const std::string before = picture();
  ASSERT_OK(insert_filter(filter_options("filter"), "file"));
  EXPECT_NE(picture().find("top.file=filter"), std::string::npos) << picture();
  EXPECT_NE(picture().find("direct=filter"), std::string::npos) << picture();
  EXPECT_NE(picture().find("filter.file=file"), std::string::npos) << picture();
  run_sync(io(0), [&] {
    assert_in_coroutine();
    EXPECT_OK(co_write_block(**above, 2, 22));
  });
  EXPECT_EQ(spies_.of("filter").writes, 1u);
  EXPECT_EQ(spies_.of("file").current[2], 22u);
  ASSERT_OK(remove_filter("filter"));
  EXPECT_EQ(picture(), before);
  EXPECT_EQ(spies_.of("filter").live, 0);
  EXPECT_OK(detach(*direct));
  EXPECT_OK(detach(*above));
}

TEST_F(FilterTest, WhatIsNoFilterIsRefusedAndNothingIsLeft) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  const std::string before = picture();
  NodeOptions format = filter_options("x");
  format.driver = "spy-format";
  EXPECT_TRUE(fails_with(insert_filter(format, "top"), EINVAL, {"no filter"}));
  EXPECT_TRUE(fails_with(insert_filter(filter_options("x"), "nobody"), ENOENT, {"nobody"}));
  EXPECT_TRUE(fails_with(insert_filter(spy_above("spy-filter", "x", std::string("file")), "top"),
                         EINVAL, {"children"}));
  EXPECT_TRUE(fails_with(remove_filter("top"), EINVAL, {"no filter"}));
  EXPECT_TRUE(fails_with(remove_filter("nobody"), ENOENT, {"nobody"}));
  EXPECT_EQ(picture(), before);
  EXPECT_EQ(spies_.live(), 2);
}

// A filter whose needs its users' permissions forbid.
TEST_F(FilterTest, AConflictTakesTheFilterOutAgain) {
  ASSERT_OK(open(spy_options("file")));
  auto one = attach("one", "file", kSoleWriter);
  ASSERT_OK(one.status());
  const std::string before = picture();
  spies_.of("greedy").child_permissions = [](const Child&, const Permissions&) {
    return Permissions{kConsistentRead | kWrite | kWriteUnchanged, kConsistentRead};
  };
  EXPECT_TRUE(
      fails_with(insert_filter(filter_options("greedy"), "file"), EBUSY, {"'greedy'", "'one'"}));
  EXPECT_EQ(picture(), before);
  EXPECT_EQ(spies_.of("greedy").live, 0);
  EXPECT_OK(detach(*one));
}

TEST_F(FilterTest, ComesAndGoesUnderLoad) {
  ASSERT_OK(open(spy_above("spy-format", "top", spy_options("file"))));
  auto backend = attach("export", "top", kWriter);
  ASSERT_OK(backend.status());
  RequestLoad load(**backend, spies_.of("file"));
  for (unsigned i = 0; i < 16; ++i) load.start_worker(io(i % 2), i);
  for (int round = 0; round < 50; ++round) {
    EXPECT_OK(insert_filter(filter_options("f-low"), "file"));
    EXPECT_OK(insert_filter(filter_options("f-high"), "top"));
    EXPECT_OK(remove_filter("f-low"));
    EXPECT_OK(remove_filter("f-high"));
  }
  load.stop_and_wait();
  EXPECT_EQ(load.failures(), 0u) << load.first_failure();
  EXPECT_EQ(load.issued(), load.answered());
  EXPECT_EQ(spies_.of("file").writes, load.writes());
  EXPECT_OK(detach(*backend));
}

}  // namespace
}  // namespace penstock

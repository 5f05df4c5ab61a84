// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/block/graph/graph_dump.h"
#include "tests/control/command_fixture.h"
#include "tests/control/image_lock_probe.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr Permissions kSoleWriter{kConsistentRead | kWrite, kConsistentRead | kWriteUnchanged};

class TransactionTest : public CommandFixture {
 protected:
  TransactionTest() {
    must("blockdev-add", file("storage", image_.path()));
    must("blockdev-add", file("other", second_.path()));
    must("blockdev-add", raw("disk", "storage"));
    attach("writer", "disk", kSoleWriter);
  }

  static Json file(const std::string& name, const std::string& path) {
    return {{"driver", "file"}, {"node-name", name}, {"filename", path}};
  }
  static Json raw(const std::string& name, const Json& file) {
    return {{"driver", "raw"}, {"node-name", name}, {"file", file}};
  }
  static Json action(const std::string& type, const Json& data) {
    return {{"type", type}, {"data", data}};
  }
  static Json insert(const std::string& node, const std::string& filter) {
    return action("x-penstock-insert-filter",
                  {{"node-name", node}, {"filter", {{"driver", "faults"}, {"node-name", filter}}}});
  }
  static Json remove(const std::string& filter) {
    return action("x-penstock-remove-filter", {{"node-name", filter}});
  }
  static Json replace(const std::string& parent, const std::string& node) {
    return action("x-penstock-replace-child",
                  {{"parent", parent}, {"child", "file"}, {"node", node}});
  }
  static Json add(const Json& node) { return action("blockdev-add", node); }
  static Json reopen(const std::vector<Json>& nodes) {
    return action("blockdev-reopen", {{"options", nodes}});
  }
  static Json read_only(Json node) {
    node["read-only"] = true;
    return node;
  }
  static Json all(const std::vector<Json>& actions) { return {{"actions", actions}}; }

  std::string state() {
    return on_control([&] {
             assert_control_thread();
             return dump_graph(daemon_->graph);
           }) +
           "locks " + first_locks_.held() + " and " + second_locks_.held();
  }
  testing::AssertionResult fails(const std::vector<Json>& actions, int error_number,
                                 const std::vector<std::string>& words) {
    const std::string before = state();
    testing::AssertionResult result = refuses("transaction", all(actions), error_number, words);
    if (result && state() != before) {
      return testing::AssertionFailure() << before << "\nbecame\n" << state();
    }
    return result;
  }
  std::string child_of(const std::string& node) { return facts(node)["children"][0]["node-name"]; }

  const TestFile image_{"/dev/shm", kMebibyte};
  const TestFile second_{"/dev/shm", kMebibyte};
  const ImageLockProbe first_locks_{image_.path()};
  const ImageLockProbe second_locks_{second_.path()};
};

TEST_F(TransactionTest, SeveralChangesAreMadeTogether) {
  must("transaction",
       all({add(raw("extra", "other")), insert("disk", "top"), insert("storage", "low"),
            reopen({read_only(file("other", second_.path())), read_only(raw("extra", "other"))})}));
  EXPECT_EQ(facts("top")["x-penstock-users"], (Json{"backend 'writer'"}));
  EXPECT_EQ(child_of("top"), "disk");
  EXPECT_EQ(child_of("disk"), "low");
  EXPECT_EQ(child_of("low"), "storage");
  EXPECT_EQ(facts("other")["ro"], true);
  must("transaction", all({remove("low"), remove("top")}));
  EXPECT_EQ(child_of("disk"), "storage");
  EXPECT_EQ(node_names(), (std::vector<std::string>{"disk", "extra", "other", "storage"}));
}

TEST_F(TransactionTest, EmptyIsNothing) {
  const std::string before = state();
  must("transaction", all({}));
  must("transaction", {{"actions", Json::array()}, {"properties", Json::object()}});
  EXPECT_EQ(state(), before);
}

// Each action that works fails with what comes after it.
TEST_F(TransactionTest, AnAbortAtAnyPlaceTakesEverythingBack) {
  const std::vector<Json> actions{
      add(raw("extra", "other")),
      insert("disk", "top"),
      insert("storage", "low"),
      replace("low", "extra"),
      reopen({read_only(raw("extra", "other")), read_only(file("other", second_.path()))}),
      reopen({file("storage", image_.path())}),
  };
  const Json abort = {{"type", "abort"}};
  for (size_t at = 0; at <= actions.size(); ++at) {
    std::vector<Json> with_abort(actions.begin(), actions.begin() + static_cast<long>(at));
    with_abort.push_back(abort);
    EXPECT_TRUE(
        fails(with_abort, ECANCELED,
              {"Transaction aborted using Abort action", "actions[" + std::to_string(at) + "]"}))
        << at;
  }
}

TEST_F(TransactionTest, WhatFailsWithAllTakesEverythingBack) {
  const Json added = add(raw("extra", "other"));
  const Json inserted = insert("disk", "top");
  EXPECT_TRUE(fails({added, inserted, replace("nobody", "other")}, ENOENT, {"'nobody'"}));
  EXPECT_TRUE(fails({added, inserted, remove("disk")}, EINVAL, {"'disk'", "no filter"}));
  EXPECT_TRUE(fails({added, inserted, remove("nobody")}, ENOENT, {"'nobody'"}));
  EXPECT_TRUE(fails({added, inserted, insert("nobody", "f")}, ENOENT, {"'nobody'", "actions[2]"}));
  EXPECT_TRUE(fails({added, inserted, add(raw("extra", "other"))}, EEXIST, {"'extra'"}));
  EXPECT_TRUE(fails({added, inserted, replace("disk", "top")}, EINVAL, {"loop"}));
  EXPECT_TRUE(fails({added, inserted, reopen({read_only(raw("disk", "storage"))})}, EBUSY,
                    {"'disk'", "read-only"}));
  EXPECT_TRUE(fails({added, reopen({raw("disk", "other")}), reopen({raw("disk", "storage")})},
                    EBUSY, {"'disk'", "once"}));
  // Another program has the file.
  ASSERT_TRUE(second_locks_.take(201));
  EXPECT_TRUE(fails({inserted, replace("disk", "other")}, EBUSY, {second_.path()}));
}

// Each alone would break a rule that both together keep.
TEST_F(TransactionTest, TheStateAfterAllActionsIsJudged) {
  must("blockdev-add", raw("disk2", "other"));
  attach("writer2", "disk2", kSoleWriter);
  EXPECT_TRUE(fails({replace("disk", "other")}, EBUSY, {"'disk'", "'disk2'"}));
  must("transaction", all({replace("disk", "other"), replace("disk2", "storage")}));
  EXPECT_EQ(child_of("disk"), "other");
  EXPECT_EQ(child_of("disk2"), "storage");

  EXPECT_TRUE(fails({reopen({read_only(file("other", second_.path()))})}, EBUSY, {"'other'"}));
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "nothing"}, {"size", kMebibyte}});
  must("transaction",
       all({reopen({read_only(file("other", second_.path()))}), replace("disk", "nothing")}));
  EXPECT_EQ(facts("other")["ro"], true);
}

TEST_F(TransactionTest, LaterActionsStartFromWhereEarlierOnesEnd) {
  must("transaction", all({insert("disk", "f1"), insert("disk", "f2")}));
  EXPECT_EQ(child_of("f1"), "f2");
  EXPECT_EQ(child_of("f2"), "disk");
  EXPECT_EQ(facts("f1")["x-penstock-users"], (Json{"backend 'writer'"}));
  must("transaction", all({remove("f1"), remove("f2")}));
  EXPECT_EQ(facts("disk")["x-penstock-users"], (Json{"backend 'writer'"}));

  const std::string before = state();
  must("transaction", all({insert("disk", "f1"), remove("f1")}));
  EXPECT_EQ(state(), before);
  EXPECT_TRUE(fails({replace("disk", "other"), replace("disk", "storage")}, EBUSY, {"'disk'"}));

  const auto add_new = [](uint64_t size) {
    return add({{"driver", "null-co"}, {"node-name", "new"}, {"size", size}});
  };
  EXPECT_TRUE(fails({add_new(2 * kMebibyte), reopen({raw("disk", "new")})}, EBUSY,
                    {"'disk'", "size", "'writer'"}));
  must("transaction", all({add_new(kMebibyte), reopen({raw("disk", "new")})}));
  EXPECT_EQ(child_of("disk"), "new");
}

TEST_F(TransactionTest, MistakesAreNamed) {
  EXPECT_TRUE(fails({3}, EINVAL, {"actions[0]"}));
  EXPECT_TRUE(fails({Json::object()}, EINVAL, {"'type' is missing"}));
  EXPECT_TRUE(fails({{{"type", 3}}}, EINVAL, {"'type'"}));
  EXPECT_TRUE(fails({action("no-such", Json::object())}, EINVAL, {"'no-such'", "actions[0]"}));
  EXPECT_TRUE(fails({action("quit", Json::object())}, EINVAL, {"'quit'"}));
  EXPECT_TRUE(fails({action("abort", {{"x", 1}})}, EINVAL, {"'x'"}));
  EXPECT_TRUE(fails({{{"type", "abort"}, {"more", 1}}}, EINVAL, {"'more'"}));
  EXPECT_TRUE(fails({action("x-penstock-remove-filter", Json::object())}, EINVAL,
                    {"'node-name' is missing", "actions[0] (x-penstock-remove-filter)"}));
  EXPECT_TRUE(fails({action("blockdev-reopen", {{"options", "disk"}})}, EINVAL, {"'options'"}));
  const Json properties = {{"completion-mode", "sometimes"}};
  EXPECT_TRUE(refuses("transaction", {{"actions", Json::array()}, {"properties", properties}},
                      EINVAL, {"completion-mode"}));
  EXPECT_TRUE(refuses("transaction", {{"actions", Json::array()}, {"properties", {{"x", 1}}}},
                      EINVAL, {"'properties.x'"}));
  must("transaction",
       {{"actions", Json::array()}, {"properties", {{"completion-mode", "grouped"}}}});
}

}  // namespace
}  // namespace penstock

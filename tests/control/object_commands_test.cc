// SPDX-License-Identifier: Apache-2.0
// object-add, object-del and query-iothreads.
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <string>

#include "base/status.h"
#include "tests/control/command_fixture.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

class ObjectCommands : public CommandFixture {
 protected:
  Json iothreads() { return must("query-iothreads"); }

  void add(const std::string& id) { must("object-add", {{"qom-type", "iothread"}, {"id", id}}); }

  void use(const std::string& id, const std::string& user) {
    on_control([&] {
      assert_control_thread();
      auto use = daemon_->iothreads.use(id, user);
      ASSERT_TRUE(use.ok()) << use.status();
      use_.emplace(*std::move(use));
    });
  }
  void end_use() {
    on_control([&] { use_.reset(); });
  }

  std::optional<IoThreadRegistry::Use> use_;
};

TEST_F(ObjectCommands, an_added_iothread_is_listed_with_a_thread_of_this_process) {
  EXPECT_EQ(iothreads(), Json::array());
  must("object-add", {{"qom-type", "iothread"}, {"id", "io0"}, {"poll-max-ns", 1234}});
  const Json listed = iothreads();
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0]["id"], "io0");
  EXPECT_EQ(listed[0]["poll-max-ns"], 1234);
  const int thread = listed[0]["thread-id"].get<int>();
  EXPECT_TRUE(std::filesystem::exists("/proc/self/task/" + std::to_string(thread)));
  must("object-del", {{"id", "io0"}});
  EXPECT_EQ(iothreads(), Json::array());
  EXPECT_FALSE(std::filesystem::exists("/proc/self/task/" + std::to_string(thread)));
}

TEST_F(ObjectCommands, what_cannot_be_added_is_refused_and_nothing_is_made) {
  add("io0");
  const Json before = iothreads();
  const auto object = [](const char* type, const char* id) {
    return Json{{"qom-type", type}, {"id", id}};
  };
  EXPECT_TRUE(refuses("object-add", object("iothread", "io0"), EEXIST, {"'io0'"}));
  EXPECT_TRUE(refuses("object-add", object("pr-manager-helper", "x"), EINVAL,
                      {"pr-manager-helper", "'iothread'"}));
  for (const char* id : {"", "1st", "a b", "#iothread0", "-x", "a/b", "\xc3\xa4"}) {
    EXPECT_TRUE(refuses("object-add", object("iothread", id), EINVAL, {"identifier"})) << id;
  }
  Json unknown = object("iothread", "io1");
  unknown["thread-count"] = 4;
  EXPECT_TRUE(refuses("object-add", unknown, EINVAL, {"thread-count", "poll-max-ns"}));
  for (const Json& nonsense : {Json(-1), Json("much"), Json(1.5), Json(2'000'000'000), Json()}) {
    Json polling = object("iothread", "io1");
    polling["poll-max-ns"] = nonsense;
    EXPECT_TRUE(refuses("object-add", polling, EINVAL, {"poll-max-ns"})) << nonsense;
  }
  EXPECT_EQ(iothreads(), before);
}

TEST_F(ObjectCommands, an_unknown_object_cannot_be_deleted) {
  EXPECT_TRUE(refuses("object-del", {{"id", "io9"}}, ENOENT, {"'io9' not found"}));
}

// Catalogue B6: QEMU deletes an iothread under an export, which then hangs.
TEST_F(ObjectCommands, b6_an_iothread_in_use_is_not_deleted_and_its_users_are_named) {
  add("io0");
  use("io0", "export 'e0'");
  EXPECT_TRUE(refuses("object-del", {{"id", "io0"}}, EBUSY, {"'io0'", "export 'e0'"}));
  EXPECT_EQ(iothreads().size(), 1u);
  end_use();
  must("object-del", {{"id", "io0"}});
}

TEST_F(ObjectCommands, default_threads_are_shared_and_no_users_object) {
  on_control([&] {
    assert_control_thread();
    assert_in_coroutine();
    const auto first = daemon_->iothreads.co_use_defaults("export 'a'");
    const auto second = daemon_->iothreads.co_use_defaults("export 'b'");
    ASSERT_TRUE(first.ok() && second.ok());
    ASSERT_FALSE(first->empty());
    ASSERT_EQ(first->size(), second->size());
    EXPECT_EQ(first->front().context(), second->front().context());
    EXPECT_EQ(daemon_->iothreads.list().front().users.size(), 2u);
  });
  const Json listed = iothreads();
  ASSERT_FALSE(listed.empty());
  EXPECT_TRUE(refuses("object-del", {{"id", listed[0]["id"]}}, ENOENT, {"not found"}));
}

TEST_F(ObjectCommands, there_is_an_end_to_iothreads_and_it_is_told) {
  int added = 0;
  std::string text;
  while (text.empty() && added < 100) {
    const auto result =
        run("object-add", {{"qom-type", "iothread"}, {"id", "io" + std::to_string(added)}});
    if (result.ok()) {
      ++added;
    } else {
      text = status_text(result.status());
    }
  }
  EXPECT_NE(text.find("use fewer iothreads"), std::string::npos) << text;
  for (int i = 0; i < added; ++i) must("object-del", {{"id", "io" + std::to_string(i)}});
  add("io0");
}

TEST_F(ObjectCommands, qemus_other_properties_of_an_iothread_are_accepted_without_effect) {
  const Json hints = {{"poll-grow", 2},       {"poll-shrink", 3},     {"aio-max-batch", 16},
                      {"thread-pool-min", 1}, {"thread-pool-max", 8}, {"poll-max-ns", 77}};
  Json object = {{"qom-type", "iothread"}, {"id", "io0"}};
  object.update(hints);
  must("object-add", object);
  EXPECT_EQ(iothreads()[0]["poll-max-ns"], 77);
  // What is listed makes the same thread again.
  Json again = iothreads()[0];
  again.erase("thread-id");
  again.update({{"qom-type", "iothread"}, {"id", "io1"}});
  must("object-add", again);
  for (const auto& [name, value] : hints.items()) {
    for (const Json& wrong : {Json(-1), Json("1"), Json(1.5), Json(UINT64_MAX)}) {
      EXPECT_TRUE(refuses("object-add", {{"qom-type", "iothread"}, {"id", "x"}, {name, wrong}},
                          EINVAL, {name}));
    }
  }
}

}  // namespace
}  // namespace penstock

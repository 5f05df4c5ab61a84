// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cerrno>
#include <latch>

#include "base/status.h"
#include "iothreads/coroutine.h"
#include "tests/control/command_fixture.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr Permissions kLooker{kConsistentRead, kAllPermissions};

class GraphCommandsTest : public CommandFixture {
 protected:
  void add_iothread(const std::string& id) {
    must("object-add", {{"qom-type", "iothread"}, {"id", id}});
  }
  void add_disk() {
    must("blockdev-add",
         {{"driver", "raw"},
          {"node-name", "disk"},
          {"file", {{"driver", "file"}, {"node-name", "storage"}, {"filename", image_.path()}}}});
  }
  static Json home(const std::string& node, const Json& iothread) {
    return {{"node-name", node}, {"iothread", iothread}};
  }
  static Json filter(const std::string& node, const Json& filter) {
    return {{"node-name", node}, {"filter", filter}};
  }

  const TestFile image_{"/dev/shm", kMebibyte};
};

TEST_F(GraphCommandsTest, ANodeAndWhatIsBelowItMoveToAnIoThreadWhichIsThenInUse) {
  add_iothread("io0");
  add_iothread("io1");
  add_disk();
  must("x-blockdev-set-iothread", home("disk", "io0"));
  EXPECT_EQ(facts("disk")["x-penstock-iothread"], "io0");
  EXPECT_EQ(facts("storage")["x-penstock-iothread"], "io0");
  EXPECT_TRUE(
      refuses("object-del", {{"id", "io0"}}, EBUSY, {"'io0'", "node 'disk'", "node 'storage'"}));

  must("x-blockdev-set-iothread", home("storage", "io1"));
  EXPECT_EQ(facts("disk")["x-penstock-iothread"], "io0");
  EXPECT_EQ(facts("storage")["x-penstock-iothread"], "io1");
  must("x-blockdev-set-iothread", home("disk", nullptr));
  EXPECT_TRUE(facts("storage")["x-penstock-iothread"].is_null());
  must("object-del", {{"id", "io1"}});

  must("x-blockdev-set-iothread", home("disk", "io0"));
  must("blockdev-del", {{"node-name", "disk"}});
  must("object-del", {{"id", "io0"}});
}

TEST_F(GraphCommandsTest, NodesStayWhereTheyAreIfTheMoveIsRefused) {
  add_iothread("io0");
  add_disk();
  must("x-blockdev-set-iothread", home("disk", "io0"));
  EXPECT_TRUE(refuses("x-blockdev-set-iothread", home("disk", "io9"), ENOENT, {"'io9'"}));
  EXPECT_TRUE(refuses("x-blockdev-set-iothread", home("nobody", "io0"), ENOENT, {"'nobody'"}));
  EXPECT_TRUE(refuses("x-blockdev-set-iothread", home("disk", 3), EINVAL, {"'iothread'"}));
}

TEST_F(GraphCommandsTest, AFilterComesBetweenANodeAndItsUsersAndGoesAgain) {
  add_disk();
  attach("look", "disk", kLooker);
  const std::string before = picture();
  EXPECT_EQ(must("x-penstock-insert-filter",
                 filter("disk", {{"driver", "faults"}, {"node-name", "f0"}}))["node-name"],
            "f0");
  EXPECT_EQ(facts("disk")["x-penstock-users"], (Json{"node 'f0' (its 'file')"}));
  EXPECT_EQ(facts("f0")["x-penstock-users"], (Json{"backend 'look'"}));
  must("x-penstock-remove-filter", {{"node-name", "f0"}});
  EXPECT_EQ(picture(), before);

  const std::string made_up =
      must("x-penstock-insert-filter", filter("storage", {{"driver", "faults"}}))["node-name"];
  EXPECT_EQ(facts("disk")["children"][0]["node-name"], made_up);
  must("x-penstock-remove-filter", {{"node-name", made_up}});
  EXPECT_EQ(picture(), before);
}

TEST_F(GraphCommandsTest, AFilterIsReadOnlyAboveANodeThatIs) {
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "disk"}, {"read-only", true}});
  must("x-penstock-insert-filter", filter("disk", {{"driver", "faults"}, {"node-name", "f0"}}));
  EXPECT_EQ(facts("f0")["ro"], true);
}

TEST_F(GraphCommandsTest, WhatCannotBeInsertedRemovedOrReplacedIsRefused) {
  add_disk();
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "other"}});
  attach("look", "disk", kLooker);
  EXPECT_TRUE(refuses("x-penstock-insert-filter", filter("nobody", {{"driver", "faults"}}), ENOENT,
                      {"'nobody'"}));
  EXPECT_TRUE(refuses("x-penstock-insert-filter", filter("disk", {{"driver", "raw"}}), EINVAL,
                      {"no filter"}));
  EXPECT_TRUE(refuses("x-penstock-insert-filter", filter("disk", Json::object()), EINVAL,
                      {"'driver' is missing"}));
  EXPECT_TRUE(refuses("x-penstock-insert-filter",
                      filter("disk", {{"driver", "faults"}, {"file", "other"}}), EINVAL,
                      {"children"}));
  EXPECT_TRUE(refuses("x-penstock-insert-filter",
                      filter("disk", {{"driver", "faults"}, {"rules", "nonsense"}}), EINVAL,
                      {"rules"}));
  EXPECT_TRUE(refuses("x-penstock-insert-filter",
                      filter("disk", {{"driver", "faults"}, {"node-name", "other"}}), EEXIST,
                      {"'other'"}));
  EXPECT_TRUE(refuses("x-penstock-remove-filter", {{"node-name", "disk"}}, EINVAL, {"no filter"}));
  EXPECT_TRUE(refuses("x-penstock-remove-filter", {{"node-name", "nobody"}}, ENOENT, {"'nobody'"}));

  const auto replace = [](const char* parent, const char* child, const char* node) -> Json {
    return {{"parent", parent}, {"child", child}, {"node", node}};
  };
  EXPECT_TRUE(refuses("x-penstock-replace-child", replace("disk", "backing", "other"), ENOENT,
                      {"'backing'"}));
  EXPECT_TRUE(refuses("x-penstock-replace-child", replace("nobody", "file", "other"), ENOENT,
                      {"'nobody'"}));
  EXPECT_TRUE(refuses("x-penstock-replace-child", replace("disk", "file", "disk"), EINVAL, {}));
}

TEST_F(GraphCommandsTest, AChildIsReplacedAndTheOldOneGoesIfNobodyUsesIt) {
  add_disk();
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "other"}, {"size", kMebibyte}});
  must("x-penstock-replace-child", {{"parent", "disk"}, {"child", "file"}, {"node", "other"}});
  EXPECT_EQ(facts("disk")["children"][0]["node-name"], "other");
  EXPECT_TRUE(facts("storage").is_null());
}

// Readers and writers on IoThreads while the graph changes under them.
class LiveCommandsTest : public GraphCommandsTest {
 protected:
  static constexpr unsigned kWorkers = 8;
  static constexpr uint64_t kBlock = 4096;

  // Each worker writes and reads back a block of its own, below 512 KiB.
  void start_load(Backend& backend) {
    for (unsigned i = 0; i < kWorkers; ++i) {
      AioContext& context = on_control([&]() -> std::reference_wrapper<AioContext> {
        assert_control_thread();
        const std::string id = i % 2 == 0 ? "io0" : "io1";
        uses_.push_back(*daemon_->iothreads.use(id, "the test's load"));
        return *uses_.back().context();
      });
      context.spawn("load", [this, &backend, i] {
        assert_in_coroutine();
        co_work(backend, i * kBlock);
        ended_.count_down();
      });
    }
  }
  void co_work(Backend& backend, uint64_t offset) COROUTINE_CODE {
    std::vector<std::byte> data(kBlock);
    for (uint64_t round = 1; !stop_.load(); ++round) {
      const std::vector<std::byte> written = pattern(kBlock, round * 8 + offset);
      note(co_write(backend, offset, written));
      note(co_read(backend, offset, data));
      if (data != written) wrong_data_.store(true);
      requests_ += 2;
      requests_.notify_all();
      // A file in memory answers at once, and others wait for this thread.
      co_pause();
    }
  }
  void note(const absl::Status& status) {
    if (!status.ok()) ++failures_;
  }
  // So that each state of the graph meets requests.
  void await_requests(uint64_t count) {
    const uint64_t wanted = requests_.load() + count;
    for (uint64_t now = requests_.load(); now < wanted; now = requests_.load()) {
      requests_.wait(now);
    }
  }
  void stop_load() {
    stop_.store(true);
    ended_.wait();
    on_control([&] {
      assert_control_thread();
      uses_.clear();
    });
  }

  std::vector<IoThreadRegistry::Use> uses_;
  std::latch ended_{kWorkers};
  std::atomic<bool> stop_{false};
  std::atomic<bool> wrong_data_{false};
  std::atomic<uint64_t> requests_{0};
  std::atomic<uint64_t> failures_{0};
};

TEST_F(LiveCommandsTest, NoRequestFailsWhileFiltersComeAndGoAndNodesAreResizedAndMoved) {
  add_iothread("io0");
  add_iothread("io1");
  add_disk();
  Backend& backend = attach("load", "disk", {kConsistentRead | kWrite, kAllPermissions});
  start_load(backend);
  for (int round = 0; round < 20; ++round) {
    must("x-penstock-insert-filter",
         filter("storage", {{"driver", "faults"}, {"node-name", "low"}}));
    await_requests(20);
    must("x-penstock-insert-filter", filter("disk", {{"driver", "faults"}, {"node-name", "high"}}));
    await_requests(20);
    must("block_resize", {{"node-name", "disk"}, {"size", (2 + round) * kMebibyte}});
    must("x-blockdev-set-iothread", home("high", round % 2 == 0 ? Json("io0") : Json("io1")));
    await_requests(20);
    must("block_resize", {{"node-name", "disk"}, {"size", kMebibyte}});
    must("x-penstock-remove-filter", {{"node-name", "low"}});
    await_requests(20);
    must("x-penstock-remove-filter", {{"node-name", "high"}});
  }
  stop_load();
  EXPECT_EQ(failures_.load(), 0u);
  EXPECT_FALSE(wrong_data_.load());
  EXPECT_EQ(node_names(), (std::vector<std::string>{"disk", "storage"}));
  EXPECT_EQ(image_.size(), kMebibyte);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <latch>

#include "base/status.h"
#include "iothreads/coroutine.h"
#include "tests/block/graph/graph_dump.h"
#include "tests/control/command_fixture.h"
#include "tests/control/image_lock_probe.h"
#include "tests/drivers/qcow2/qemu_tools.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr Permissions kLooker{kConsistentRead, kAllPermissions};
constexpr Permissions kFixedLooker{kConsistentRead, kAllPermissions & ~kResize};
constexpr Permissions kSoleWriter{kConsistentRead | kWrite, kConsistentRead | kWriteUnchanged};

class ReopenCommandsTest : public CommandFixture {
 protected:
  Json file() const {
    return {{"driver", "file"}, {"node-name", "storage"}, {"filename", image_.path()}};
  }
  static Json raw(const Json& file) {
    return {{"driver", "raw"}, {"node-name", "disk"}, {"file", file}};
  }
  static Json with(Json description, const std::string& option, const Json& value) {
    description[option] = value;
    return description;
  }
  static Json options(const std::vector<Json>& nodes) { return {{"options", nodes}}; }
  void reopen(const Json& node) { must("blockdev-reopen", options({node})); }
  testing::AssertionResult refuses_reopen(const std::vector<Json>& nodes, int error_number,
                                          const std::vector<std::string>& words) {
    const std::string before = dump();
    const std::string locks = probe_.held();
    testing::AssertionResult result =
        refuses("blockdev-reopen", options(nodes), error_number, words);
    if (result && dump() != before) {
      return testing::AssertionFailure() << before << "became\n" << dump();
    }
    if (result && probe_.held() != locks) {
      return testing::AssertionFailure() << "locks " << locks << " became " << probe_.held();
    }
    return result;
  }
  std::string dump() {
    return on_control([&] {
      assert_control_thread();
      return dump_graph(daemon_->graph);
    });
  }
  uint64_t size(const std::string& node) {
    return on_control([&] {
      assert_control_thread();
      return daemon_->graph.find(node)->size();
    });
  }
  std::vector<std::byte> read(Backend& backend, uint64_t offset, uint64_t length) {
    std::vector<std::byte> data(length);
    on_control([&] {
      assert_in_coroutine();
      EXPECT_TRUE(co_read(backend, offset, data).ok());
    });
    return data;
  }
  absl::Status write(Backend& backend, uint64_t offset, const std::vector<std::byte>& data) {
    return on_control([&] {
      assert_in_coroutine();
      return co_write(backend, offset, data);
    });
  }

  const TestFile image_{"/var/tmp", kMebibyte};
  const ImageLockProbe probe_{image_.path()};
};

TEST_F(ReopenCommandsTest, AWindowMovesAndGrowsAndUsersHearOfIt) {
  const std::vector<std::byte> bytes = pattern(kMebibyte, 1);
  image_.write(0, bytes);
  must("blockdev-add", raw(file()));
  Backend& user = attach("look", "disk", kLooker);
  std::atomic<uint64_t> heard{0};
  user.on_resize = [&](uint64_t now) { heard = now; };
  reopen(with(with(raw("storage"), "offset", 4096), "size", 8192));
  EXPECT_EQ(size("disk"), 8192u);
  EXPECT_EQ(heard, 8192u);
  EXPECT_EQ(read(user, 0, 512), std::vector<std::byte>(bytes.begin() + 4096, bytes.begin() + 4608));
  // What is not said is as it is by default.
  reopen(raw("storage"));
  EXPECT_EQ(heard, kMebibyte);
  EXPECT_EQ(read(user, 0, 512), std::vector<std::byte>(bytes.begin(), bytes.begin() + 512));

  Backend& fixed = attach("fixed", "disk", kFixedLooker);
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "offset", 512)}, EBUSY, {"'disk'", "'fixed'"}));
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "size", 2 * kMebibyte)}, EINVAL, {"window"}));
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "size", "x")}, EINVAL, {"'size'"}));
  user.on_resize = nullptr;
  detach(fixed);
}

TEST_F(ReopenCommandsTest, ReadOnlyWithAWriterIsRefusedAndWorksWithoutAndBack) {
  must("blockdev-add", file());
  must("blockdev-add", raw("storage"));
  Backend* writer = &attach("writer", "disk", kSoleWriter);
  const std::string locks = probe_.held();
  EXPECT_NE(locks.find("101"), std::string::npos) << locks;
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "read-only", true)}, EBUSY,
                             {"'disk'", "'writer'", "read-only"}));
  EXPECT_TRUE(refuses_reopen({with(file(), "read-only", true)}, EBUSY, {"'storage'", "'disk'"}));
  // The locks go over to the new descriptor.
  reopen(with(file(), "discard", "unmap"));
  EXPECT_EQ(probe_.held(), locks);
  EXPECT_TRUE(write(*writer, 0, pattern(512, 7)).ok());
  detach(*writer);
  EXPECT_EQ(probe_.held(), "");

  must("blockdev-reopen",
       options({with(raw("storage"), "read-only", true), with(file(), "read-only", true)}));
  EXPECT_EQ(facts("disk")["ro"], true);
  EXPECT_EQ(facts("storage")["ro"], true);
  Backend& reader = attach("reader", "disk", kLooker);
  EXPECT_EQ(read(reader, 0, 512), pattern(512, 7));
  must("blockdev-reopen", options({file(), raw("storage")}));
  writer = &attach("writer", "disk", kSoleWriter);
  EXPECT_EQ(probe_.held(), locks);
  EXPECT_TRUE(write(*writer, 512, pattern(512, 8)).ok());
  EXPECT_EQ(image_.read(512, 512), pattern(512, 8));
}

TEST_F(ReopenCommandsTest, LocksThatAnotherProgramHasInTheWayRefuseAReopen) {
  const Json shared = with(with(file(), "force-share", true), "read-only", true);
  must("blockdev-add", shared);
  must("blockdev-add", with(raw("storage"), "read-only", true));
  attach("reader", "disk", {kConsistentRead, kConsistentRead});
  EXPECT_EQ(probe_.held(), "100");
  ASSERT_TRUE(probe_.take(101));
  EXPECT_TRUE(refuses_reopen({with(file(), "read-only", true)}, EBUSY,
                             {"write", image_.path(), std::to_string(getpid())}));
  probe_.release(101);
  reopen(with(file(), "read-only", true));
  EXPECT_EQ(probe_.held(), "100 201 202 203");
  reopen(shared);
  EXPECT_EQ(probe_.held(), "100");
  EXPECT_TRUE(refuses_reopen({with(file(), "force-share", true)}, EINVAL, {"force-share"}));
}

TEST_F(ReopenCommandsTest, TheFileOfANodeStaysTheSame) {
  const TestFile other("/var/tmp", kMebibyte);
  must("blockdev-add", file());
  EXPECT_TRUE(refuses_reopen({with(file(), "filename", other.path())}, EINVAL,
                             {"'filename'", "'storage'", other.path()}));
  EXPECT_TRUE(refuses_reopen({with(file(), "locking", "off")}, EINVAL, {"'locking'"}));
  EXPECT_TRUE(refuses_reopen({with(file(), "no-such-option", 1)}, EINVAL, {"'no-such-option'"}));
  // Nor is what has been put in its place taken.
  const std::string away = image_.path() + ".away";
  std::filesystem::rename(image_.path(), away);
  EXPECT_TRUE(refuses_reopen({with(file(), "read-only", true)}, ENOENT, {image_.path()}));
  std::filesystem::copy_file(other.path(), image_.path());
  EXPECT_TRUE(refuses_reopen({with(file(), "read-only", true)}, ESTALE, {"another file"}));
  std::filesystem::rename(away, image_.path());
  reopen(with(file(), "read-only", true));
  EXPECT_EQ(facts("storage")["ro"], true);
}

TEST_F(ReopenCommandsTest, DirectIoComesAndGoesUnderAWriter) {
  must("blockdev-add", raw(file()));
  Backend& writer = attach("writer", "disk", kSoleWriter);
  Json direct = raw(with(file(), "cache", {{"direct", true}}));
  const absl::StatusOr<Json> answer = run("blockdev-reopen", options({direct}));
  if (!answer.ok() && status_errno(answer.status()) == EINVAL) {
    GTEST_SKIP() << status_text(answer.status());
  }
  ASSERT_TRUE(answer.ok()) << status_text(answer.status());
  EXPECT_EQ(facts("storage")["cache"]["direct"], true);
  // Smaller than the storage's blocks.
  EXPECT_TRUE(write(writer, 100, pattern(100, 3)).ok());
  EXPECT_EQ(read(writer, 100, 100), pattern(100, 3));
  reopen(raw(file()));
  EXPECT_EQ(facts("storage")["cache"]["direct"], false);
  EXPECT_EQ(read(writer, 100, 100), pattern(100, 3));
}

TEST_F(ReopenCommandsTest, MistakesAreNamed) {
  must("blockdev-add", raw(file()));
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "nothing"}});
  EXPECT_TRUE(refuses_reopen({with(raw("nothing"), "node-name", "nobody")}, ENOENT,
                             {"node-name='nobody'"}));
  EXPECT_TRUE(refuses_reopen({{{"driver", "null-co"}, {"node-name", "disk"}}}, EINVAL,
                             {"'driver'", "'raw'", "'null-co'"}));
  EXPECT_TRUE(refuses_reopen({{{"driver", "raw"}, {"file", "storage"}}}, EINVAL,
                             {"options[0]", "'node-name'"}));
  EXPECT_TRUE(
      refuses_reopen({{{"driver", "raw"}, {"node-name", "disk"}}}, EINVAL, {"'file'", "missing"}));
  EXPECT_TRUE(refuses_reopen({raw("nobody")}, ENOENT, {"'nobody'"}));
  EXPECT_TRUE(refuses_reopen({raw("disk")}, EINVAL, {"loop"}));
  EXPECT_TRUE(refuses_reopen({raw(nullptr)}, EINVAL, {"'file'"}));
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "backing", "nothing")}, EINVAL, {"'backing'"}));
  EXPECT_TRUE(refuses_reopen({with(raw("storage"), "x", 1)}, EINVAL, {"'x'", "'disk'"}));
  EXPECT_TRUE(refuses_reopen({raw("storage"), raw("storage")}, EBUSY, {"'disk'", "once"}));
  EXPECT_TRUE(refuses_reopen({raw("storage"), 3}, EINVAL, {"options[1]"}));
  EXPECT_TRUE(refuses("blockdev-reopen", Json::object(), EINVAL, {"'options' is missing"}));
  reopen(raw("storage"));
  must("blockdev-reopen", options({}));
}

TEST_F(ReopenCommandsTest, TheSecondNodesFailureLeavesTheFirstAsItWas) {
  must("blockdev-add", file());
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "nothing"}});
  EXPECT_TRUE(refuses_reopen({with(file(), "read-only", true),
                              {{"driver", "null-co"}, {"node-name", "nothing"}, {"size", "x"}}},
                             EINVAL, {"'size'"}));
  EXPECT_EQ(facts("storage")["ro"], false);
}

TEST_F(ReopenCommandsTest, ThrottleGroupsAndLatenciesChange) {
  must("object-add", {{"qom-type", "throttle-group"}, {"id", "slow"}});
  must("object-add", {{"qom-type", "throttle-group"}, {"id", "fast"}});
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "nothing"}});
  Json throttle = {{"driver", "throttle"},
                   {"node-name", "throttled"},
                   {"throttle-group", "slow"},
                   {"file", "nothing"}};
  must("blockdev-add", throttle);
  EXPECT_TRUE(refuses("object-del", {{"id", "slow"}}, EBUSY, {"'throttled'"}));
  EXPECT_TRUE(refuses_reopen({with(throttle, "throttle-group", "none")}, ENOENT, {"'none'"}));
  reopen(with(throttle, "throttle-group", "fast"));
  must("object-del", {{"id", "slow"}});
  EXPECT_TRUE(refuses("object-del", {{"id", "fast"}}, EBUSY, {"'throttled'"}));
  reopen({{"driver", "null-co"}, {"node-name", "nothing"}, {"latency-ns", 1000}});
  reopen({{"driver", "null-co"}, {"node-name", "nothing"}, {"size", 4096}});
  EXPECT_EQ(size("nothing"), 4096u);
  EXPECT_EQ(size("throttled"), 4096u);
  must("blockdev-del", {{"node-name", "throttled"}});
}

TEST_F(ReopenCommandsTest, ABackingFileOfQcow2IsDetachedAndReplacedWhileItIsRead) {
  const ImageFolder folder;
  const std::string base = folder.path("base.qcow2");
  const std::string top = folder.path("top.qcow2");
  qemu_img({"create", "-q", "-f", "qcow2", base, "1M"});
  qemu_io(base, {"write -q -P 17 0 64k"});
  qemu_img({"create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", top});
  const auto image = [](const std::string& name, const std::string& path) -> Json {
    return {{"driver", "qcow2"},
            {"node-name", name},
            {"read-only", true},
            {"file", {{"driver", "file"}, {"filename", path}}}};
  };
  must("blockdev-add", image("base", base));
  must("blockdev-add", with(image("top", top), "backing", "base"));
  must("blockdev-add", {{"driver", "null-co"}, {"node-name", "nothing"}, {"read-only", true}});
  Backend& reader = attach("reader", "top", kLooker);
  const std::vector<std::byte> filled(512, std::byte{17});
  const std::vector<std::byte> zeroes(512, std::byte{0});
  EXPECT_EQ(read(reader, 0, 512), filled);

  EXPECT_TRUE(refuses_reopen({with(with(image("top", top), "backing", "base"), "read-only", false)},
                             EROFS, {"not supported yet", "'top'"}));
  EXPECT_TRUE(refuses_reopen({image("top", top)}, EINVAL, {"'backing'", "missing"}));
  EXPECT_TRUE(refuses_reopen({with(with(image("top", top), "backing", nullptr), "file", "nothing")},
                             EINVAL, {"'file'", "'nothing'"}));
  EXPECT_TRUE(refuses_reopen({with(with(image("top", top), "backing", "base"), "snapshot", "s")},
                             EINVAL, {"'snapshot'"}));
  reopen(with(image("top", top), "backing", nullptr));
  EXPECT_EQ(read(reader, 0, 512), zeroes);
  reopen(with(image("top", top), "backing", "nothing"));
  EXPECT_EQ(read(reader, 0, 512), zeroes);
  must("blockdev-reopen", options({with(image("top", top), "backing", "base")}));
  EXPECT_EQ(read(reader, 0, 512), filled);
  EXPECT_TRUE(refuses_reopen({with(image("base", base), "backing", "top")}, EINVAL, {"loop"}));
  must("blockdev-del", {{"node-name", "nothing"}});
}

TEST_F(ReopenCommandsTest, ANodeThatAnImageNamedKeepsItsPlaceAndItsFile) {
  const ImageFolder folder;
  qemu_img({"create", "-q", "-f", "qcow2", folder.path("base.qcow2"), "1M"});
  qemu_io(folder.path("base.qcow2"), {"write -q -P 17 0 64k"});
  qemu_img(
      {"create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", folder.path("top.qcow2")});
  const Json top = {{"driver", "qcow2"},
                    {"node-name", "top"},
                    {"read-only", true},
                    {"file", {{"driver", "file"}, {"filename", folder.path("top.qcow2")}}}};
  must("blockdev-add", top);
  Json base = facts("top")["children"];
  std::string name;
  for (const Json& child : base) {
    if (child["child"] == "backing") name = child["node-name"];
  }
  ASSERT_FALSE(name.empty());
  Backend& reader = attach("reader", "top", kLooker);
  reopen(with(top, "backing", name));
  EXPECT_EQ(read(reader, 0, 512), std::vector<std::byte>(512, std::byte{17}));
  reopen(with(with(top, "backing", name), "cache", {{"direct", false}}));
  EXPECT_EQ(read(reader, 0, 512), std::vector<std::byte>(512, std::byte{17}));
  // Detached, it goes, with its file.
  reopen(with(top, "backing", nullptr));
  EXPECT_EQ(node_names().size(), 2u) << picture();
}

class LiveReopenTest : public ReopenCommandsTest {
 protected:
  static constexpr unsigned kWorkers = 4;
  static constexpr uint64_t kBlock = 4096;

  void start(Backend& backend) {
    for (unsigned i = 0; i < kWorkers; ++i) {
      const std::string id = "io" + std::to_string(i % 2);
      AioContext* const context = on_control([&] {
        assert_control_thread();
        uses_.push_back(*daemon_->iothreads.use(id, "the test's load"));
        return uses_.back().context().get();
      });
      context->spawn("load", [this, &backend, i] {
        assert_in_coroutine();
        std::vector<std::byte> data(kBlock);
        for (uint64_t round = 1; !stop_.load(); ++round) {
          const std::vector<std::byte> written = pattern(kBlock, round * kWorkers + i);
          if (!co_write(backend, i * kBlock, written).ok()) ++failures_;
          if (!co_read(backend, i * kBlock, data).ok()) ++failures_;
          if (data != written) ++failures_;
          co_pause();
        }
        ended_.count_down();
      });
    }
  }
  void stop() {
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
  std::atomic<uint64_t> failures_{0};
};

TEST_F(LiveReopenTest, NoRequestFailsWhileDescriptorsAndFiltersChange) {
  for (const char* id : {"io0", "io1"}) must("object-add", {{"qom-type", "iothread"}, {"id", id}});
  must("blockdev-add", file());
  must("blockdev-add", raw("storage"));
  must("blockdev-add", {{"driver", "faults"}, {"node-name", "filter"}, {"file", "storage"}});
  Backend& backend = attach("load", "disk", {kConsistentRead | kWrite, kAllPermissions});
  const bool direct =
      run("blockdev-reopen", options({with(file(), "cache", {{"direct", true}})})).ok();
  const std::string locks = probe_.held();
  start(backend);
  for (int round = 0; round < 30; ++round) {
    reopen(with(file(), "cache", {{"direct", direct && round % 2 == 0}}));
    reopen(raw(round % 2 == 0 ? "filter" : "storage"));
    // Facts of the file change under load; the graph does not.
    const std::string before = dump();
    const absl::Status refused =
        run("blockdev-reopen", options({with(file(), "read-only", true)})).status();
    EXPECT_EQ(status_errno(refused), EBUSY) << refused;
    EXPECT_EQ(dump(), before);
    EXPECT_EQ(probe_.held(), locks);
  }
  stop();
  EXPECT_EQ(failures_.load(), 0u);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "base/status.h"
#include "tests/control/command_fixture.h"
#include "tests/drivers/qcow2/qemu_tools.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMebibyte = 1 << 20;
constexpr Permissions kLooker{kConsistentRead, kAllPermissions};

class BlockdevCommandsTest : public CommandFixture {
 protected:
  static Json file(const std::string& path) { return {{"driver", "file"}, {"filename", path}}; }
  static Json named(Json description, const std::string& name) {
    description["node-name"] = name;
    return description;
  }
  static Json above(const std::string& driver, const std::string& name, const Json& child) {
    return {{"driver", driver}, {"node-name", name}, {"file", child}};
  }

  const TestFile image_{"/dev/shm", kMebibyte};
};

TEST_F(BlockdevCommandsTest, AddsANodeWithAllThatIsBelowItAndDelTakesItAllAgain) {
  const Json raw = above("raw", "disk", named(file(image_.path()), "storage"));
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(must("blockdev-add", raw), Json::object());
    EXPECT_EQ(node_names(), (std::vector<std::string>{"disk", "storage"}));
    EXPECT_EQ(must("blockdev-del", {{"node-name", "disk"}}), Json::object());
    EXPECT_TRUE(node_names().empty()) << picture();
  }
}

TEST_F(BlockdevCommandsTest, NodesOfTheirOwnOutliveTheirUsers) {
  must("blockdev-add", named(file(image_.path()), "storage"));
  must("blockdev-add", above("raw", "disk", "storage"));
  EXPECT_TRUE(refuses("blockdev-del", {{"node-name", "storage"}}, EBUSY, {"'storage'", "'disk'"}));
  must("blockdev-del", {{"node-name", "disk"}});
  EXPECT_EQ(node_names(), (std::vector<std::string>{"storage"}));
  must("blockdev-del", {{"node-name", "storage"}});
}

TEST_F(BlockdevCommandsTest, ANodeInUseIsNotDeleted) {
  must("blockdev-add", above("raw", "disk", file(image_.path())));
  Backend& user = attach("export 'e0'", "disk", kLooker);
  EXPECT_TRUE(refuses("blockdev-del", {{"node-name", "disk"}}, EBUSY, {"'disk'", "e0"}));
  detach(user);
  must("blockdev-del", {{"node-name", "disk"}});
  EXPECT_TRUE(refuses("blockdev-del", {{"node-name", "disk"}}, ENOENT,
                      {"Failed to find node with node-name='disk'"}));
}

TEST_F(BlockdevCommandsTest, RefusalsLeaveTheGraphAsItWas) {
  must("blockdev-add", above("raw", "disk", file(image_.path())));
  EXPECT_TRUE(refuses("blockdev-add", {{"node-name", "x"}}, EINVAL, {"'driver' is missing"}));
  EXPECT_TRUE(refuses("blockdev-add", {{"driver", "null-co"}}, EINVAL, {"'node-name'"}));
  EXPECT_TRUE(
      refuses("blockdev-add", {{"driver", "null-co"}, {"node-name", "disk"}}, EEXIST, {"'disk'"}));
  EXPECT_TRUE(refuses("blockdev-add",
                      {{"driver", "null-co"}, {"node-name", "x"}, {"no-such-option", 1}}, EINVAL,
                      {"'x'", "'no-such-option'"}));
  EXPECT_TRUE(refuses("blockdev-add", above("raw", "x", "nobody"), ENOENT, {"'nobody'"}));
  EXPECT_TRUE(refuses("blockdev-add", above("raw", "x", file("/dev/shm/no-such-image")), ENOENT,
                      {"/dev/shm/no-such-image"}));
  // The name of a child is taken; what was opened before it goes again.
  Json arguments = above("qcow2", "x", file(image_.path()));
  arguments["file"]["read-only"] = true;
  arguments["backing"] = named({{"driver", "null-co"}}, "disk");
  EXPECT_TRUE(refuses("blockdev-add", arguments, EEXIST, {"'disk'"}));
  EXPECT_EQ(node_names().size(), 2u);
}

// A read error at each read of opening a chain in turn.
TEST_F(BlockdevCommandsTest, AFailureAtAnyReadOfAnOpenLeavesTheGraphAsItWas) {
  const ImageFolder folder;
  qemu_img({"create", "-q", "-f", "qcow2", folder.path("base"), "1M"});
  qemu_img({"create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", folder.path("top")});
  must("blockdev-add", named({{"driver", "null-co"}}, "bystander"));
  int failures = 0;
  bool opened = false;
  for (int nth = 1; nth < 100 && !opened; ++nth) {
    const Json rule = {{"event", "read_aio"}, {"nth", nth}, {"errno", "EIO"}};
    const auto faulty = [&](const std::string& image) -> Json {
      return {{"driver", "faults"}, {"rules", {rule}}, {"file", file(folder.path(image))}};
    };
    Json arguments = above("qcow2", "disk", file(folder.path("top")));
    arguments["read-only"] = true;
    arguments["backing"] = {{"driver", "qcow2"}, {"file", faulty("base")}};
    arguments["file"] = faulty("top");
    const std::string before = picture();
    const auto answer = run("blockdev-add", arguments);
    opened = answer.ok();
    if (opened) break;
    ++failures;
    EXPECT_EQ(status_errno(answer.status()), EIO) << status_text(answer.status());
    EXPECT_EQ(picture(), before);
  }
  EXPECT_TRUE(opened);
  EXPECT_GT(failures, 0);
  EXPECT_EQ(node_names().size(), 7u);
  must("blockdev-del", {{"node-name", "disk"}});
  EXPECT_EQ(node_names(), (std::vector<std::string>{"bystander"}));
}

TEST_F(BlockdevCommandsTest, FilesThatAnImageNamesAreOpenedBelowItsOwnDirectoryOnly) {
  const ImageFolder folder;
  const ImageFolder elsewhere;
  qemu_img({"create", "-q", "-f", "raw", folder.path("base"), "1M"});
  qemu_img({"create", "-q", "-f", "raw", elsewhere.path("base"), "1M"});
  qemu_img({"create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", folder.path("near")});
  qemu_img({"create", "-q", "-f", "qcow2", "-b", elsewhere.path("base"), "-F", "raw",
            folder.path("far")});
  const auto qcow2 = [&](const std::string& name) {
    Json arguments = above("qcow2", "disk", file(folder.path(name)));
    arguments["read-only"] = true;
    return arguments;
  };
  must("blockdev-add", qcow2("near"));
  EXPECT_EQ(facts("disk")["backing_file_depth"], 1);
  EXPECT_EQ(facts("disk")["image"]["backing-image"]["format"], "raw");
  must("blockdev-del", {{"node-name", "disk"}});
  EXPECT_TRUE(node_names().empty());

  EXPECT_TRUE(refuses("blockdev-add", qcow2("far"), EPERM, {elsewhere.path("base")}));
  // Also when the file was added by itself.
  must("blockdev-add", named(file(folder.path("far")), "storage"));
  Json by_reference = qcow2("far");
  by_reference["file"] = "storage";
  EXPECT_TRUE(refuses("blockdev-add", by_reference, EPERM, {elsewhere.path("base")}));
  must("blockdev-del", {{"node-name", "storage"}});
  // What the client itself names may be anywhere.
  Json named_backing = qcow2("far");
  named_backing["backing"] = {{"driver", "raw"}, {"file", file(elsewhere.path("base"))}};
  must("blockdev-add", named_backing);
  must("blockdev-del", {{"node-name", "disk"}});
  named_backing["backing"] = nullptr;
  must("blockdev-add", named_backing);
  EXPECT_EQ(facts("disk")["backing_file_depth"], 0);
}

TEST_F(BlockdevCommandsTest, AutoReadOnlyFallsBackWhereWritingIsNotPossible) {
  const ImageFolder folder;
  qemu_img({"create", "-q", "-f", "qcow2", folder.path("image"), "1M"});
  Json arguments = above("qcow2", "disk", file(folder.path("image")));
  EXPECT_TRUE(refuses("blockdev-add", arguments, EROFS, {"read-only"}));
  arguments["auto-read-only"] = true;
  must("blockdev-add", arguments);
  EXPECT_EQ(facts("disk")["ro"], true);
}

TEST_F(BlockdevCommandsTest, ResizesAndRefusesNonsense) {
  must("blockdev-add", above("raw", "disk", named(file(image_.path()), "storage")));
  must("block_resize", {{"node-name", "disk"}, {"size", 3 * kMebibyte}});
  EXPECT_EQ(image_.size(), 3 * kMebibyte);
  EXPECT_EQ(facts("disk")["image"]["virtual-size"], 3 * kMebibyte);
  must("block_resize", {{"device", "disk"}, {"size", 512}});
  EXPECT_EQ(image_.size(), 512u);

  EXPECT_TRUE(refuses("block_resize", {{"size", 512}}, EINVAL, {"exactly one"}));
  EXPECT_TRUE(refuses("block_resize", {{"size", 1}, {"device", "disk"}, {"node-name", "disk"}},
                      EINVAL, {"exactly one"}));
  EXPECT_TRUE(refuses("block_resize", {{"node-name", "nobody"}, {"size", 1}}, ENOENT, {"nobody"}));
  EXPECT_TRUE(refuses("block_resize", {{"node-name", "disk"}, {"size", -1}}, EINVAL, {"-1"}));
  EXPECT_TRUE(refuses("block_resize", {{"node-name", "disk"}, {"size", 1.5}}, EINVAL, {"'size'"}));
  EXPECT_TRUE(refuses("block_resize", {{"node-name", "disk"}, {"size", uint64_t{1} << 63}}, EINVAL,
                      {"size"}));
  EXPECT_EQ(image_.size(), 512u);
}

TEST_F(BlockdevCommandsTest, AFailedResizeLeavesTheSize) {
  Json faulty = above("faults", "disk", file(image_.path()));
  faulty["rules"] = {{{"event", "resize"}, {"errno", "ENOSPC"}}};
  must("blockdev-add", faulty);
  EXPECT_TRUE(
      refuses("block_resize", {{"node-name", "disk"}, {"size", 2 * kMebibyte}}, ENOSPC, {}));
  EXPECT_EQ(image_.size(), kMebibyte);
  must("blockdev-add", named({{"driver", "null-co"}}, "fixed"));
  EXPECT_TRUE(
      refuses("block_resize", {{"node-name", "fixed"}, {"size", 1}}, EOPNOTSUPP, {"fixed"}));
  // A user that counts on the size.
  must("block_resize", {{"node-name", "disk"}, {"size", 2 * kMebibyte}});
  attach("backup", "disk", {kConsistentRead, kAllPermissions & ~kResize});
  EXPECT_TRUE(
      refuses("block_resize", {{"node-name", "disk"}, {"size", kMebibyte}}, EBUSY, {"'backup'"}));
}

TEST_F(BlockdevCommandsTest, NodesAreListedByTheFieldsKeys) {
  Json arguments = above("raw", "disk", named(file(image_.path()), "storage"));
  arguments["read-only"] = true;
  must("blockdev-add", arguments);
  attach("look", "disk", kLooker);
  const Json nodes = must("query-named-block-nodes", {{"flat", true}});
  ASSERT_EQ(nodes.size(), 2u);
  const Json& disk = nodes[0];
  EXPECT_EQ(disk["node-name"], "disk");
  EXPECT_EQ(disk["drv"], "raw");
  EXPECT_EQ(disk["ro"], true);
  EXPECT_EQ(disk["file"], image_.path());
  EXPECT_EQ(disk["encrypted"], false);
  EXPECT_EQ(disk["detect_zeroes"], "off");
  EXPECT_EQ(disk["cache"], (Json{{"writeback", true}, {"direct", false}, {"no-flush", false}}));
  EXPECT_EQ(disk["image"]["virtual-size"], kMebibyte);
  EXPECT_EQ(disk["image"]["format"], "raw");
  EXPECT_EQ(disk["children"], (Json{{{"child", "file"}, {"node-name", "storage"}}}));
  EXPECT_EQ(disk["x-penstock-users"], (Json{"backend 'look'"}));
  EXPECT_TRUE(disk["x-penstock-iothread"].is_null());
  EXPECT_EQ(nodes[1]["image"]["format"], "file");
}

}  // namespace
}  // namespace penstock

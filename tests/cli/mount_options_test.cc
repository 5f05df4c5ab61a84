// SPDX-License-Identifier: Apache-2.0
#include "cli/mount_options.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/status.h"
#include "cli/chain_options.h"

namespace penstock {
namespace {

TEST(MountOptions, WordsAndSettingsReachThePlan) {
  MountPlan plan;
  AccessWords access;
  const absl::Status status = apply_mount_options(
      "rw,allow_other,uid=7,gid=8,mode=0640,fsname=a\\,b,offset=1M,size=3,fault=read_aio:nth=2,"
      "snapshot=before,no-partitions,sector-size=4K",
      plan, access);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(access.writable);
  EXPECT_FALSE(access.read_only);
  EXPECT_TRUE(plan.allow_other);
  EXPECT_EQ(plan.uid, 7u);
  EXPECT_EQ(plan.gid, 8u);
  EXPECT_EQ(plan.mode, 0640u);
  EXPECT_EQ(plan.fsname, "a,b");
  EXPECT_EQ(plan.raw_offset, 1u << 20);
  EXPECT_EQ(plan.raw_size, 3u);
  EXPECT_EQ(plan.snapshot, "before");
  EXPECT_FALSE(plan.partitions);
  EXPECT_EQ(plan.sector_size, 4096u);
  EXPECT_EQ(plan.fault_rules, std::vector<std::string>{"read_aio:nth=2"});
}

TEST(MountOptions, ASocketForCommandsIsAPathOrNone) {
  MountPlan plan;
  AccessWords access;
  EXPECT_TRUE(plan.takes_commands);
  ASSERT_TRUE(apply_mount_options("qmp=/run/a\\,b", plan, access).ok());
  EXPECT_TRUE(plan.takes_commands);
  EXPECT_EQ(plan.socket, "/run/a,b");
  ASSERT_TRUE(apply_mount_options("qmp=none", plan, access).ok());
  EXPECT_FALSE(plan.takes_commands);
  EXPECT_EQ(plan.socket, "");
  EXPECT_FALSE(apply_mount_options("qmp=", plan, access).ok());
}

TEST(MountOptions, FilesThatImagesNameMayBeSaidThere) {
  MountPlan plan;
  AccessWords access;
  const absl::Status status = apply_mount_options(
      "backing=a=/b=c,search-path=/,allow-path=/,allow-path=/tmp", plan, access);
  ASSERT_TRUE(status.ok()) << status;
  ASSERT_EQ(plan.chain.moved.size(), 1u);
  EXPECT_EQ(plan.chain.moved[0].old_name, "a");
  EXPECT_EQ(plan.chain.moved[0].new_path, "/b=c");
  EXPECT_EQ(plan.chain.search_directories, std::vector<std::string>{"/"});
  EXPECT_EQ(plan.chain.allowed_directories, (std::vector<std::string>{"/", "/tmp"}));
}

TEST(MountOptions, AnEqualsSignInANameIsSettledByTheFileThatIsThere) {
  std::string pattern = std::filesystem::temp_directory_path() / "penstock-options-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  const std::filesystem::path folder = pattern;
  std::ofstream(folder / "new") << "x";
  std::ofstream(folder / "k=v") << "x";
  for (const auto& [text, old_name, new_name] :
       {std::array<std::string, 3>{"a=b=" + pattern + "/new", "a=b", pattern + "/new"},
        {"a=" + pattern + "/k=v", "a", pattern + "/k=v"},
        {"a=" + pattern + "/no=ne", "a", pattern + "/no=ne"},
        {"a=b=" + pattern, "a", std::filesystem::absolute("b=" + pattern).string()}}) {
    ChainOptions options;
    EXPECT_TRUE(add_moved_image(text, options).ok());
    ASSERT_EQ(options.moved.size(), 1u);
    EXPECT_EQ(options.moved[0].old_name, old_name);
    EXPECT_EQ(options.moved[0].new_path, new_name);
  }
  std::filesystem::remove_all(folder);
}

TEST(MountOptions, UnknownWordIsRefusedByName) {
  MountPlan plan;
  AccessWords access;
  for (const char* list :
       {"nosuch", "nosuch=1", "ro,uid", "uid=", "uid=-1", "uid=4294967295", "mode=8", "mode=1000",
        "offset=1X", "size=99999999999T", "fsname=", "backing=a",
        "search-path=", "snapshot=", "sector-size=1024", "sector-size="}) {
    EXPECT_EQ(status_errno(apply_mount_options(list, plan, access)), EINVAL) << list;
  }
}

TEST(ByteSize, UnitsAreBinary) {
  EXPECT_EQ(parse_byte_size("0"), 0u);
  EXPECT_EQ(parse_byte_size("4096"), 4096u);
  EXPECT_EQ(parse_byte_size("2k"), 2048u);
  EXPECT_EQ(parse_byte_size("1T"), uint64_t{1} << 40);
  EXPECT_EQ(parse_byte_size(""), std::nullopt);
  EXPECT_EQ(parse_byte_size("K"), std::nullopt);
  EXPECT_EQ(parse_byte_size("-1"), std::nullopt);
  EXPECT_EQ(parse_byte_size("16777216T"), std::nullopt);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/foreign_formats.h"
#include "control/image_info_text.h"
#include "control/info_file.h"
#include "control/mount_table.h"
#include "nlohmann/json.hpp"

namespace penstock {
namespace {

TEST(MountTable, EscapedNamesAndUserAreRead) {
  const auto entry = parse_mount_line(
      "36 25 0:31 / /mnt/a\\040b rw,nosuid shared:5 master:1 - fuse.penstock /x\\134y.img "
      "rw,user_id=1001,group_id=1001");
  ASSERT_TRUE(entry.has_value());
  EXPECT_EQ(entry->mount_point, "/mnt/a b");
  EXPECT_EQ(entry->source, "/x\\y.img");
  EXPECT_EQ(entry->user, 1001u);
  EXPECT_TRUE(entry->is_ours());
}

TEST(MountTable, LinesThatAreNoneAreRefused) {
  for (const char* line : {"", "36 25 0:31 / /mnt", "36 25 0:31 / /mnt rw - ext4"}) {
    EXPECT_FALSE(parse_mount_line(line).has_value()) << line;
  }
}

TEST(ForeignFormats, ShortImagesHaveNone) {
  const std::vector<std::byte> empty;
  EXPECT_EQ(find_foreign_format(empty, empty), "");
  const std::vector<std::byte> zeroes(100);
  EXPECT_EQ(find_foreign_format(zeroes, empty), "");
}

TEST(InfoFile, IsSmallHoweverManySnapshotsAndBitmapsThereAre) {
  ImageInfo info;
  info.snapshots.resize(16384, {.id = std::string(127, '\x01'), .name = std::string(255, '\x01')});
  auto& data = info.format_specific["data"];
  for (int i = 0; i < 5000; ++i) data["bitmaps"].push_back({{"name", std::string(10, '\x01')}});
  const std::string text = info_file_text(info, {});
  EXPECT_LT(text.size(), size_t{4} << 20);
  const auto facts = nlohmann::json::parse(text);
  EXPECT_EQ(facts["snapshots"].size(), 1024u);
  EXPECT_EQ(facts["snapshots-left-out"], 16384 - 1024);
  EXPECT_EQ(facts["format-specific"]["data"]["bitmaps"].size(), 1024u);
  EXPECT_EQ(facts["format-specific"]["data"]["bitmaps-left-out"], 5000 - 1024);
}

TEST(ReadableSize, ThreeDigitsAsQemuImgPrintsThem) {
  EXPECT_EQ(readable_size(0), "0 B");
  EXPECT_EQ(readable_size(512), "512 B");
  EXPECT_EQ(readable_size(1536), "1.5 KiB");
  EXPECT_EQ(readable_size(1000), "0.977 KiB");
  EXPECT_EQ(readable_size(uint64_t{1} << 20), "1 MiB");
  EXPECT_EQ(readable_size(uint64_t{1500} << 20), "1.46 GiB");
}

}  // namespace
}  // namespace penstock

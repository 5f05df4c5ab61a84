// SPDX-License-Identifier: Apache-2.0
#include "control/view_names.h"

#include <gtest/gtest.h>

#include <set>

namespace penstock {
namespace {

ImageSnapshot snapshot_of(const std::string& id, const std::string& name) {
  ImageSnapshot snapshot;
  snapshot.id = id;
  snapshot.name = name;
  return snapshot;
}

TEST(LinkName, UnusualBytesAreWrittenAsUdevWritesThem) {
  EXPECT_EQ(link_name("root"), "root");
  EXPECT_EQ(link_name("EFI System/1"), "EFI\\x20System\\x2f1");
  EXPECT_EQ(link_name("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(link_name("\xff"), "\\xff");
  EXPECT_EQ(link_name("\xe2\x82\xac\xe2\x82"), "\xe2\x82\xac\\xe2\\x82");
  EXPECT_EQ(link_name("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");
  EXPECT_EQ(link_name("a\\b"),
            "a\\x5c"
            "b");
}

TEST(LinkName, WhatCannotBeANameIsEmpty) {
  for (const std::string& label : {std::string(), std::string("."), std::string(".."),
                                   std::string(300, 'x'), std::string(100, ' ')}) {
    EXPECT_EQ(link_name(label), "");
  }
}

TEST(SnapshotDirectoryNames, NamesAreKeptWhereTheyCanBe) {
  const std::vector<std::string> expected = {"before update", "a\\x2fb", "\\x2e", "\\x2e\\x2e",
                                             "unnamed",       "z\\x00z", "gr\xfc"};
  EXPECT_EQ(snapshot_directory_names(
                {snapshot_of("1", "before update"), snapshot_of("2", "a/b"), snapshot_of("3", "."),
                 snapshot_of("4", ".."), snapshot_of("5", ""),
                 snapshot_of("6", std::string("z\0z", 3)), snapshot_of("7", "gr\xfc")}),
            expected);
}

TEST(SnapshotDirectoryNames, OfSeveralWithOneNameTheFirstHasIt) {
  std::vector<std::string> names =
      snapshot_directory_names({snapshot_of("1", "a"), snapshot_of("2", "a"), snapshot_of("7", "a"),
                                snapshot_of("9", "a-7")});
  EXPECT_EQ(names, (std::vector<std::string>{"a", "a-2", "a-7-2", "a-7"}));
  names = snapshot_directory_names({snapshot_of("1", "a"), snapshot_of("8/x", "a")});
  EXPECT_EQ(names[1], "a-8\\x2fx");
}

TEST(SnapshotDirectoryNames, AllAreDifferentComponentsWhateverTheImageSays) {
  std::vector<ImageSnapshot> snapshots;
  for (const char* name : {"", ".", "..", "a", "/", "\\x2f", "a-1", "a-1-3"}) {
    for (int i = 0; i < 3; ++i) {
      snapshots.push_back(snapshot_of("1", name));
      snapshots.push_back(snapshot_of(std::string(1000, 'i'), name + std::string(1000, 'n')));
      snapshots.push_back(snapshot_of(std::string(1000, '/'), name + std::string(254, 'n')));
    }
  }
  std::set<std::string> names;
  for (const std::string& name : snapshot_directory_names(snapshots)) {
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_LE(name.size(), 255u);
    EXPECT_TRUE(!name.empty() && name != "." && name != "..") << name;
    EXPECT_EQ(name.find_first_of(std::string("/\0", 2)), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace penstock

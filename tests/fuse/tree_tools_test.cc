// SPDX-License-Identifier: Apache-2.0
// find, ls, du, cp and diff walk a mount as any directory.
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

class TwoSnapshots : public DirectoryFiller {
 public:
  absl::StatusOr<Filled> co_fill(ServedTree& tree,
                                 uint64_t directory) override CONTROL_COROUTINE_CODE {
    for (const char* name : {"first", "second"}) {
      const uint64_t snapshot = tree.add_directory(directory, name);
      tree.add_file(snapshot, "disk", file);
      tree.add_symlink(tree.add_directory(snapshot, "by-uuid"), "1234-ABCD", "../disk");
    }
    return Filled::kAll;
  }

  ServedFile file;
};

class TreeTools : public MountedTest {
 protected:
  void SetUp() override {
    MountedTest::SetUp();
    if (IsSkipped()) return;
    driver_->set_bytes(pattern_bytes(kSize, 1));
    ServedTree& served = tree();
    filler_.file = file_;
    filler_.file.writable = false;
    on_control([&] {
      assert_control_thread();
      ServedFile part = file_;
      part.offset = 4096;
      part.length = 10'000;
      served.add_text(FUSE_ROOT_ID, "info.json", "{}\n");
      served.add_file(FUSE_ROOT_ID, "p1", part);
      served.add_symlink(served.add_directory(FUSE_ROOT_ID, "by-label"), "a b", "../p1");
      served.add_directory(FUSE_ROOT_ID, "snapshots", &filler_);
      served.add_directory(FUSE_ROOT_ID, ".own", nullptr, true);
    });
    start();
  }

  // What a shell command prints, errors too. It runs in the mounted directory.
  std::string shell(const std::string& command) const {
    const std::string line = "cd '" + directory_ + "' && export LC_ALL=C && (" + command + ") 2>&1";
    FILE* pipe = popen(line.c_str(), "r");
    EXPECT_NE(pipe, nullptr);
    std::string output;
    for (int c = fgetc(pipe); c != EOF; c = fgetc(pipe)) output.push_back(static_cast<char>(c));
    EXPECT_EQ(pclose(pipe), 0) << command << ": " << output;
    return output;
  }

  TwoSnapshots filler_;
};

TEST_F(TreeTools, FindListsEverythingOnce) {
  EXPECT_EQ(shell("find . | sort"),
            ".\n./by-label\n./by-label/a b\n./disk\n./info.json\n./p1\n./snapshots\n"
            "./snapshots/first\n./snapshots/first/by-uuid\n./snapshots/first/by-uuid/1234-ABCD\n"
            "./snapshots/first/disk\n./snapshots/second\n./snapshots/second/by-uuid\n"
            "./snapshots/second/by-uuid/1234-ABCD\n./snapshots/second/disk\n");
  EXPECT_EQ(shell("find . -type l | wc -l"), "3\n");
  EXPECT_EQ(shell("find -L . -type l"), "") << "no link is broken";
  EXPECT_EQ(shell("find . -name disk -size 4M | wc -l"), "3\n");
}

TEST_F(TreeTools, LsShowsEverything) {
  const std::string listing = shell("ls -lR");
  EXPECT_NE(listing.find("a b -> ../p1"), std::string::npos) << listing;
  EXPECT_NE(listing.find("./snapshots/second:"), std::string::npos) << listing;
  EXPECT_EQ(listing.find("?"), std::string::npos) << listing;
}

TEST_F(TreeTools, DuCountsWhatIsThere) {
  const std::string total = std::to_string(3 * kSize + 10'000 + 3);
  EXPECT_EQ(shell("du -b --apparent-size disk p1 info.json snapshots/*/disk |"
                  " awk '{ sum += $1 } END { print sum }'"),
            total + "\n");
  shell("du -a . && df .");
}

TEST_F(TreeTools, CpCopiesTheWholeTree) {
  std::string copy = ::testing::TempDir() + "penstock-copy-XXXXXX";
  ASSERT_NE(mkdtemp(copy.data()), nullptr);
  EXPECT_EQ(shell("cp -a . '" + copy + "' && diff -r --no-dereference . '" + copy + "'"), "");
  EXPECT_EQ(shell("stat -c '%a %s' p1"), shell("stat -c '%a %s' '" + copy + "/p1'"));
  shell("rm -rf '" + copy + "'");
}

}  // namespace
}  // namespace penstock

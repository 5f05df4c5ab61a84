// SPDX-License-Identifier: Apache-2.0
// A mount with partitions, texts, links and directories beside the disk.
#include <dirent.h>
#include <errno.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <cstring>
#include <set>

#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

constexpr uint64_t kPartStart = uint64_t{1} << 20;
constexpr uint64_t kPartSize = (uint64_t{1} << 20) + 512;
constexpr char kText[] = "{\"format\": \"raw\"}\n";

class MountedTree : public MountedTest {
 protected:
  void SetUp() override {
    MountedTest::SetUp();
    if (IsSkipped()) return;
    content_ = pattern_bytes(kSize, 1);
    driver_->set_bytes(content_);
  }

  // disk, info.json, p1 (a window), by-label/root -> ../p1, ro (the same window, read-only).
  void start_tree() {
    ServedTree& served = tree();
    on_control([&] {
      assert_control_thread();
      ServedFile part = file_;
      part.offset = kPartStart;
      part.length = kPartSize;
      served.add_text(FUSE_ROOT_ID, "info.json", kText);
      served.add_file(FUSE_ROOT_ID, "p1", part);
      const uint64_t labels = served.add_directory(FUSE_ROOT_ID, "by-label");
      served.add_symlink(labels, "root", "../p1");
      part.writable = false;
      served.add_file(FUSE_ROOT_ID, "ro", part);
    });
    start();
  }

  std::string at(const std::string& name) const { return directory_ + "/" + name; }

  UniqueFd open_at(const std::string& name, int flags) {
    UniqueFd fd(open(at(name).c_str(), flags | O_CLOEXEC));
    EXPECT_TRUE(fd.valid()) << name << ": " << strerror(errno);
    return fd;
  }

  struct stat stat_at(const std::string& name) {
    struct stat attributes = {};
    EXPECT_EQ(lstat(at(name).c_str(), &attributes), 0) << name << ": " << strerror(errno);
    return attributes;
  }

  std::vector<std::byte> content_;
};

TEST_F(MountedTree, EachEntryShowsWhatItIs) {
  start_tree();
  const struct stat text = stat_at("info.json");
  EXPECT_EQ(text.st_mode, S_IFREG | 0444u);
  EXPECT_EQ(text.st_size, static_cast<off_t>(sizeof(kText) - 1));
  EXPECT_EQ(text.st_ino, 3u);
  const struct stat part = stat_at("p1");
  EXPECT_EQ(part.st_mode, S_IFREG | 0644u);
  EXPECT_EQ(part.st_size, static_cast<off_t>(kPartSize));
  EXPECT_LE(part.st_blocks * 512, static_cast<blkcnt_t>(kPartSize));
  const struct stat labels = stat_at("by-label");
  EXPECT_TRUE(S_ISDIR(labels.st_mode));
  EXPECT_EQ(labels.st_nlink, 2u);
  EXPECT_EQ(stat_at("").st_nlink, 3u);
  const struct stat link = stat_at("by-label/root");
  EXPECT_EQ(link.st_mode, S_IFLNK | 0777u);
  EXPECT_EQ(link.st_size, 5);
  char target[16] = {};
  EXPECT_EQ(readlink(at("by-label/root").c_str(), target, sizeof(target)), 5);
  EXPECT_STREQ(target, "../p1");
  EXPECT_EQ(stat_at("ro").st_mode, S_IFREG | 0444u);
  const UniqueFd fd = open_at("by-label/root", O_RDONLY);
  EXPECT_EQ(read_at(fd.get(), 4096, 0)[7], content_[kPartStart + 7]);
}

TEST_F(MountedTree, ATextIsReadAndNeverWritten) {
  start_tree();
  const UniqueFd fd = open_at("info.json", O_RDONLY);
  char text[64] = {};
  ASSERT_EQ(read(fd.get(), text, sizeof(text)), static_cast<ssize_t>(sizeof(kText) - 1));
  EXPECT_STREQ(text, kText);
  EXPECT_EQ(read(fd.get(), text, sizeof(text)), 0);
  EXPECT_EQ(lseek(fd.get(), 3, SEEK_DATA), 3);
  EXPECT_EQ(lseek(fd.get(), 3, SEEK_HOLE), static_cast<off_t>(sizeof(kText) - 1));
  EXPECT_EQ(error_of(open(at("info.json").c_str(), O_WRONLY)), EACCES);
  EXPECT_EQ(error_of(truncate(at("info.json").c_str(), 0)), EACCES);
  EXPECT_EQ(error_of(utimensat(AT_FDCWD, at("info.json").c_str(), nullptr, 0)), EPERM);
  // The disk's own seeks still come to us.
  const UniqueFd disk = open_at("disk", O_RDONLY);
  EXPECT_EQ(lseek(disk.get(), 0, SEEK_HOLE), static_cast<off_t>(kSize));
}

TEST_F(MountedTree, EachKindRefusesWhatItIsNot) {
  start_tree();
  struct stat attributes;
  EXPECT_EQ(error_of(stat(at("p1/x").c_str(), &attributes)), ENOTDIR);
  EXPECT_EQ(error_of(stat(at("info.json/x").c_str(), &attributes)), ENOTDIR);
  EXPECT_EQ(error_of(stat(at("by-label/other").c_str(), &attributes)), ENOENT);
  EXPECT_EQ(error_of(open(at("by-label").c_str(), O_RDWR)), EISDIR);
  EXPECT_EQ(error_of(readlink(at("p1").c_str(), reinterpret_cast<char*>(&attributes), 1)), EINVAL);
  EXPECT_EQ(error_of(open(at("ro").c_str(), O_RDWR)), EACCES);
  EXPECT_EQ(error_of(truncate(at("ro").c_str(), 0)), EACCES);
  EXPECT_EQ(error_of(truncate(at("p1").c_str(), 0)), EPERM);
  EXPECT_EQ(error_of(unlink(at("by-label/root").c_str())), EPERM);
  EXPECT_EQ(error_of(rmdir(at("by-label").c_str())), EPERM);
  EXPECT_EQ(error_of(mkdir(at("by-label/x").c_str(), 0755)), EPERM);
}

TEST_F(MountedTree, AReadOnlyTreeAnswersThatItIsOne) {
  file_.writable = false;
  start_tree();
  EXPECT_EQ(error_of(open(at("p1").c_str(), O_RDWR)), EROFS);
  EXPECT_EQ(error_of(open(at("info.json").c_str(), O_RDWR)), EROFS);
  EXPECT_EQ(error_of(truncate(at("by-label/root").c_str(), 0)), EROFS);
  EXPECT_EQ(error_of(rmdir(at("by-label").c_str())), EROFS);
}

TEST_F(MountedTree, APartitionEndsWhereItEnds) {
  start_tree();
  const UniqueFd fd = open_at("p1", O_RDWR);
  const std::vector<std::byte> expected(
      content_.begin() + kPartStart,
      content_.begin() + static_cast<ptrdiff_t>(kPartStart + kPartSize));
  EXPECT_EQ(read_at(fd.get(), kSize, 0), expected);
  EXPECT_EQ(read_at(fd.get(), 4096, kPartSize - 5).size(), 5u);
  EXPECT_EQ(read_at(fd.get(), 4096, kPartSize).size(), 0u);
  const auto data = pattern_bytes(4096, 2);
  EXPECT_EQ(pwrite(fd.get(), data.data(), 4096, kPartSize - 100), 100);
  EXPECT_EQ(error_of(pwrite(fd.get(), data.data(), 4096, kPartSize)), ENOSPC);
  EXPECT_EQ(pwrite(fd.get(), data.data(), 10, 0), 10);
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  EXPECT_EQ(fallocate(fd.get(), kPunch, 200'000, 2 * kSize), 0);
  EXPECT_EQ(fallocate(fd.get(), kPunch, kPartSize, kSize), 0);
  EXPECT_EQ(error_of(fallocate(fd.get(), FALLOC_FL_ZERO_RANGE, kPartSize - 1, 2)), ENOSPC);
  memcpy(content_.data() + kPartStart, data.data(), 10);
  std::fill(content_.begin() + kPartStart + 200'000,
            content_.begin() + static_cast<ptrdiff_t>(kPartStart + kPartSize), std::byte{0});
  EXPECT_EQ(driver_->bytes(), content_) << "nothing outside of the partition changed";
}

TEST_F(MountedTree, SeeksAreThePartitionsOwn) {
  // Every byte counts as data unless it is zero.
  std::fill(content_.begin(), content_.end(), std::byte{1});
  std::fill(content_.begin() + kPartStart, content_.begin() + kPartStart + 8192, std::byte{0});
  std::fill(content_.begin() + kPartStart + 16384, content_.end(), std::byte{0});
  content_[3 << 20] = std::byte{1};  // data behind the partition
  driver_->set_bytes(content_);
  driver_->reports_zeroes = true;
  start_tree();
  const UniqueFd fd = open_at("p1", O_RDONLY);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 8192);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 0);
  EXPECT_EQ(lseek(fd.get(), 9000, SEEK_HOLE), 16384);
  EXPECT_EQ(error_of(lseek(fd.get(), 16384, SEEK_DATA)), ENXIO);
  EXPECT_EQ(error_of(lseek(fd.get(), kPartSize, SEEK_HOLE)), ENXIO);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_END), static_cast<off_t>(kPartSize));
}

TEST_F(MountedTree, AShorterBackendEndsThePartition) {
  start_tree();
  const UniqueFd fd = open_at("p1", O_RDWR);
  on_control([this] {
    assert_control_thread();
    node_->set_size(kPartStart + 1000);
    export_->resized(*backend_, kPartStart + 1000);
  });
  char bytes[4096];
  EXPECT_EQ(pread(fd.get(), bytes, sizeof(bytes), 0), 1000);
  EXPECT_EQ(pwrite(fd.get(), bytes, sizeof(bytes), 500), 500);
  EXPECT_EQ(error_of(pwrite(fd.get(), bytes, 1, 1000)), ENOSPC);
}

TEST_F(MountedTree, TheDiskAndItsPartitionShowTheSameBytes) {
  for (const bool cached : {false, true}) {
    options_.cached = cached;
    start_tree();
    {
      const UniqueFd disk = open_at("disk", O_RDWR);
      ASSERT_EQ(pwrite(disk.get(), "from disk", 9, kPartStart + 100), 9);
      const UniqueFd part = open_at("p1", O_RDWR);
      EXPECT_EQ(memcmp(read_at(part.get(), 9, 100).data(), "from disk", 9), 0);
      ASSERT_EQ(pwrite(part.get(), "from part", 9, 100), 9);
    }
    const UniqueFd disk = open_at("disk", O_RDONLY);
    EXPECT_EQ(memcmp(read_at(disk.get(), 9, kPartStart + 100).data(), "from part", 9), 0)
        << (cached ? "cached" : "direct");
    const_cast<UniqueFd&>(disk).reset();
    ASSERT_TRUE(stop().ok());
    tree_.reset();
  }
}

TEST_F(MountedTree, MappingsOfTheDiskAndItsPartitionShowTheSameBytes) {
  for (const bool cached : {false, true}) {
    options_.cached = cached;
    start_tree();
    const std::string disk = at("disk");
    const std::string part = at("p1");
    const int result = run_in_child([&] {
      const int fd = open(part.c_str(), O_RDWR);
      void* memory = mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (memory == MAP_FAILED) return errno;
      memcpy(static_cast<char*>(memory) + 4096, "mapped", 6);
      if (msync(memory, 8192, MS_SYNC) != 0) return 1;
      munmap(memory, 8192);
      close(fd);
      const int whole = open(disk.c_str(), O_RDWR);
      char bytes[6];
      if (pread(whole, bytes, 6, kPartStart + 4096) != 6) return 2;
      if (memcmp(bytes, "mapped", 6) != 0) return 3;
      if (pwrite(whole, "direct", 6, kPartStart + 4096) != 6) return 4;
      close(whole);
      const int again = open(part.c_str(), O_RDONLY);
      memory = mmap(nullptr, 8192, PROT_READ, MAP_SHARED, again, 0);
      if (memory == MAP_FAILED) return 5;
      return memcmp(static_cast<char*>(memory) + 4096, "direct", 6) == 0 ? 0 : 6;
    });
    if (result == ENODEV && !cached) continue;  // the kernel maps no file with direct I/O
    EXPECT_EQ(result, 0) << (cached ? "cached" : "direct");
    ASSERT_TRUE(stop().ok());
    tree_.reset();
  }
}

TEST_F(MountedTree, ADirectoryOfAThousandEntriesIsListedWhole) {
  ServedTree& served = tree();
  on_control([&] {
    assert_control_thread();
    uint64_t parent = served.add_directory(FUSE_ROOT_ID, "a");
    parent = served.add_directory(parent, "b");
    ServedFile part = file_;
    part.length = 512;
    for (int i = 0; i < 1000; ++i) {
      part.offset = static_cast<uint64_t>(i) * 512;
      served.add_file(parent, "file-with-a-longer-name-" + std::to_string(i), part);
    }
  });
  start();
  std::set<std::string> names;
  DIR* stream = opendir(at("a/b").c_str());
  ASSERT_NE(stream, nullptr) << strerror(errno);
  while (const dirent* entry = readdir(stream)) {
    EXPECT_TRUE(names.insert(entry->d_name).second) << entry->d_name << " comes twice";
    // The first page is asked for with attributes, and so is what follows a stat.
    struct stat attributes;
    ASSERT_EQ(fstatat(dirfd(stream), entry->d_name, &attributes, 0), 0) << strerror(errno);
    if (entry->d_type == DT_REG) {
      EXPECT_EQ(attributes.st_size, 512);
    }
    EXPECT_EQ(attributes.st_ino, entry->d_ino) << entry->d_name;
  }
  // Seeking back to a place gives what was there.
  rewinddir(stream);
  for (int i = 0; i < 500; ++i) readdir(stream);
  const long place = telldir(stream);
  const std::string expected = readdir(stream)->d_name;
  while (readdir(stream) != nullptr) {
  }
  seekdir(stream, place);
  EXPECT_EQ(readdir(stream)->d_name, expected);
  closedir(stream);
  EXPECT_EQ(names.size(), 1002u);
}

TEST_F(MountedTree, EntriesAddedLaterAppear) {
  start();
  struct stat attributes;
  EXPECT_EQ(error_of(stat(at("p1").c_str(), &attributes)), ENOENT);
  EXPECT_EQ(stat_at("").st_nlink, 2u);
  on_control([this] {
    assert_control_thread();
    ServedFile part = file_;
    part.length = 512;
    tree_->add_file(FUSE_ROOT_ID, "p1", part);
    tree_->add_directory(FUSE_ROOT_ID, "by-uuid");
  });
  EXPECT_EQ(stat_at("p1").st_size, 512);
  EXPECT_EQ(stat_at("").st_nlink, 3u);
}

TEST_F(MountedTree, AHiddenDirectoryIsFoundByNameOnly) {
  ServedTree& served = tree();
  on_control([&] {
    assert_control_thread();
    const uint64_t hidden = served.add_directory(FUSE_ROOT_ID, ".penstock", nullptr, true);
    served.add_file(hidden, "0", file_);
  });
  start();
  DIR* stream = opendir(directory_.c_str());
  ASSERT_NE(stream, nullptr);
  std::set<std::string> names;
  while (const dirent* entry = readdir(stream)) names.insert(entry->d_name);
  closedir(stream);
  EXPECT_EQ(names, (std::set<std::string>{".", "..", "disk"}));
  const UniqueFd fd = open_at(".penstock/0", O_RDONLY);
  EXPECT_EQ(read_at(fd.get(), kSize, 0), content_);
}

TEST_F(MountedTree, OneFileCannotBeMountedOnADirectoryNorADirectoryOnAFile) {
  file_.backend = backend_;
  tree_ = std::make_unique<ServedTree>(file_);
  EXPECT_EQ(status_errno(try_start()), EISDIR);
  tree_ = std::make_unique<ServedTree>();
  cover_a_file();
  EXPECT_EQ(status_errno(try_start()), ENOTDIR);
}

}  // namespace
}  // namespace penstock

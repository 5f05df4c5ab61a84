// SPDX-License-Identifier: Apache-2.0
// What a mount's directory shows, and every change that it refuses.
#include <dirent.h>
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include <cstring>

#include "tests/fuse/mounted_test.h"

namespace penstock {
namespace {

using MountedDirectory = MountedTest;

std::vector<std::string> list(const std::string& directory) {
  std::vector<std::string> names;
  DIR* stream = opendir(directory.c_str());
  EXPECT_NE(stream, nullptr) << strerror(errno);
  if (stream == nullptr) return names;
  while (const dirent* entry = readdir(stream)) names.push_back(entry->d_name);
  closedir(stream);
  return names;
}

TEST_F(MountedDirectory, HoldsOneFile) {
  start();
  EXPECT_EQ(list(directory_), (std::vector<std::string>{".", "..", "disk"}));
  struct stat attributes;
  ASSERT_EQ(stat(directory_.c_str(), &attributes), 0);
  EXPECT_TRUE(S_ISDIR(attributes.st_mode));
  EXPECT_EQ(error_of(stat((directory_ + "/other").c_str(), &attributes)), ENOENT);
}

TEST_F(MountedDirectory, RefusesEveryChange) {
  start();
  const std::string other = directory_ + "/other";
  EXPECT_EQ(error_of(unlink(path().c_str())), EPERM);
  EXPECT_EQ(error_of(rename(path().c_str(), other.c_str())), EPERM);
  EXPECT_EQ(error_of(link(path().c_str(), other.c_str())), EPERM);
  EXPECT_EQ(error_of(symlink("disk", other.c_str())), EPERM);
  EXPECT_EQ(error_of(mkdir(other.c_str(), 0755)), EPERM);
  EXPECT_EQ(error_of(mkfifo(other.c_str(), 0644)), EPERM);
  EXPECT_EQ(error_of(open(other.c_str(), O_CREAT | O_WRONLY, 0644)), EPERM);
  EXPECT_EQ(error_of(chmod(path().c_str(), 0777)), EPERM);
  EXPECT_EQ(error_of(chown(path().c_str(), 77, 77)), EPERM);
  EXPECT_EQ(error_of(chmod(directory_.c_str(), 0700)), EPERM);
  EXPECT_EQ(chmod(path().c_str(), 0644), 0) << "what it is already";
  EXPECT_EQ(list(directory_).size(), 3u);
}

TEST_F(MountedDirectory, AReadOnlyExportCannotBeWritten) {
  file_.writable = false;
  start();
  struct stat attributes;
  ASSERT_EQ(stat(path().c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 0777, 0444u);
  EXPECT_EQ(error_of(open(path().c_str(), O_RDWR)), EROFS);
  EXPECT_EQ(error_of(truncate(path().c_str(), 0)), EROFS);
  EXPECT_EQ(error_of(unlink(path().c_str())), EROFS);
  EXPECT_EQ(error_of(mkdir((directory_ + "/other").c_str(), 0755)), EROFS);
  EXPECT_EQ(error_of(utimensat(AT_FDCWD, path().c_str(), nullptr, 0)), EROFS);
  const UniqueFd fd = open_file(O_RDONLY);
  char byte;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 0), 1);
}

// The mount itself may have been made writable by somebody else's remount.
TEST_F(MountedDirectory, AReadOnlyExportStaysSoBelowAWritableMount) {
  file_.writable = false;
  options_.mount_options = {"rw"};
  start();
  const std::string remount = "mount -i -o remount,rw " + directory_ + " 2>/dev/null";
  if (system(remount.c_str()) != 0) GTEST_SKIP() << "cannot remount";
  EXPECT_EQ(error_of(open(path().c_str(), O_RDWR)), EROFS);
  EXPECT_EQ(error_of(truncate(path().c_str(), 0)), EROFS);
  EXPECT_EQ(error_of(unlink(path().c_str())), EROFS);
}

TEST_F(MountedDirectory, HasNoExtendedAttributesOrDeviceControls) {
  start();
  char value[16];
  EXPECT_EQ(error_of(getxattr(path().c_str(), "user.a", value, sizeof(value))), EOPNOTSUPP);
  EXPECT_EQ(error_of(setxattr(path().c_str(), "user.a", "b", 1, 0)), EOPNOTSUPP);
  const UniqueFd fd = open_file(O_RDONLY);
  unsigned long long size;
  EXPECT_EQ(error_of(ioctl(fd.get(), _IOR(0x12, 114, size_t), &size)), ENOTTY);
  EXPECT_EQ(error_of(ioctl(fd.get(), _IOR('X', 200, int), &size)), ENOTTY);
}

TEST_F(MountedDirectory, FileLocksWorkAsOnALocalFile) {
  start();
  const UniqueFd first = open_file(O_RDWR);
  const UniqueFd second = open_file(O_RDWR);
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  EXPECT_EQ(fcntl(first.get(), F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(error_of(fcntl(second.get(), F_OFD_SETLK, &lock)), EAGAIN);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "fuse/file_times.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

constexpr timespec kStart = {1'000'000'000, 123'456'789};

TEST(FileTimes, StartAsTheImages) {
  FileTimes times(kStart);
  const auto read = times.read();
  EXPECT_EQ(read.mtime.tv_sec, kStart.tv_sec);
  EXPECT_EQ(read.mtime.tv_nsec, kStart.tv_nsec);
  EXPECT_EQ(read.ctime.tv_sec, kStart.tv_sec);
}

TEST(FileTimes, AWriteMovesModificationAndChangeForward) {
  FileTimes times(kStart);
  times.note_write(3);
  const auto read = times.read();
  EXPECT_GT(read.mtime.tv_sec, kStart.tv_sec);
  EXPECT_EQ(read.mtime.tv_sec, read.ctime.tv_sec);
  EXPECT_EQ(read.atime.tv_sec, kStart.tv_sec);
}

TEST(FileTimes, AnImageFromTheFutureStaysThereWhenWritten) {
  FileTimes times({4'000'000'000, 0});
  times.note_write(0);
  EXPECT_EQ(times.read().mtime.tv_sec, 4'000'000'000);
}

TEST(FileTimes, WhatWasSetIsShown) {
  FileTimes times(kStart);
  times.note_write(0);
  times.set(timespec{5, 6}, timespec{-7, 8});
  const auto read = times.read();
  EXPECT_EQ(read.atime.tv_sec, 5);
  EXPECT_EQ(read.atime.tv_nsec, 6);
  EXPECT_EQ(read.mtime.tv_sec, -7);
  EXPECT_EQ(read.mtime.tv_nsec, 8);
  EXPECT_GT(read.ctime.tv_sec, kStart.tv_sec);
}

}  // namespace
}  // namespace penstock

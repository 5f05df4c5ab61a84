// SPDX-License-Identifier: Apache-2.0
#include "control/pid_file.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/status.h"

namespace penstock {
namespace {

using testing::HasSubstr;

class PidFileTest : public testing::Test {
 protected:
  PidFileTest() {
    char name[] = "/tmp/penstock-pid-XXXXXX";
    folder_ = ::mkdtemp(name);
    path_ = folder_ + "/pid";
  }
  ~PidFileTest() override { std::filesystem::remove_all(folder_); }

  std::string content() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  const std::string own_ = std::to_string(::getpid()) + "\n";
  std::string folder_;
  std::string path_;
};

TEST_F(PidFileTest, IsThereWhileItsOwnerIs) {
  {
    PidFile file;
    EXPECT_EQ(file.write(path_), absl::OkStatus());
    EXPECT_EQ(content(), own_);
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(PidFileTest, ASecondOwnerIsRefusedByName) {
  PidFile first;
  ASSERT_EQ(first.write(path_), absl::OkStatus());
  {
    PidFile second;
    const absl::Status status = second.write(path_);
    EXPECT_EQ(status_errno(status), EBUSY);
    EXPECT_THAT(status_text(status), HasSubstr("(PID " + std::to_string(::getpid()) + ")"));
  }
  EXPECT_EQ(content(), own_);
  first.remove();
  PidFile third;
  EXPECT_EQ(third.write(path_), absl::OkStatus());
}

TEST_F(PidFileTest, WhatADeadServerLeftIsReplaced) {
  std::ofstream(path_) << "123456789 and more\n";
  PidFile file;
  EXPECT_EQ(file.write(path_), absl::OkStatus());
  EXPECT_EQ(content(), own_);
}

TEST_F(PidFileTest, APlaceThatCannotBeIsNamed) {
  PidFile file;
  const absl::Status status = file.write(folder_ + "/none/pid");
  EXPECT_EQ(status_errno(status), ENOENT);
  EXPECT_THAT(status_text(status), HasSubstr("/none/pid"));
}

TEST_F(PidFileTest, IsForItsOwnerOnly) {
  PidFile file;
  EXPECT_EQ(file.write(path_), absl::OkStatus());
  const auto mode = std::filesystem::status(path_).permissions();
  EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace penstock

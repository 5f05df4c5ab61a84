// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace penstock {
namespace {

TEST(Status, KeepsEveryErrno) {
  for (int error = 1; error < 134; ++error) {
    const absl::Status status = errno_status(error, "read");
    EXPECT_FALSE(status.ok()) << error;
    EXPECT_EQ(status_errno(status), error);
    EXPECT_EQ(status_errno(annotate(status, "node \"a\"")), error);
  }
}

TEST(Status, ZeroIsSuccess) {
  EXPECT_TRUE(errno_status(0, "read").ok());
  EXPECT_TRUE(errno_message(0, "read").ok());
  EXPECT_EQ(status_errno(absl::OkStatus()), 0);
  EXPECT_TRUE(annotate(absl::OkStatus(), "node").ok());
}

TEST(Status, TextSaysWhatFailedAndWhy) {
  EXPECT_EQ(status_text(errno_status(ENOENT, "cannot open \"x\"")),
            "cannot open \"x\": No such file or directory");
  EXPECT_EQ(status_text(errno_message(EBUSY, "the image is in use")), "the image is in use");
  EXPECT_EQ(status_text(annotate(errno_message(EBUSY, "the image is in use"), "mount")),
            "mount: the image is in use");
}

TEST(Status, CodesFollowTheErrno) {
  EXPECT_EQ(errno_status(ENOENT, "").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(errno_status(EACCES, "").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(errno_status(ENOSPC, "").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(errno_status(EIO, "").code(), absl::StatusCode::kUnknown);
}

TEST(Status, AStatusWithoutErrnoGetsTheNearest) {
  EXPECT_EQ(status_errno(absl::NotFoundError("x")), ENOENT);
  EXPECT_EQ(status_errno(absl::InvalidArgumentError("x")), EINVAL);
  EXPECT_EQ(status_errno(absl::UnimplementedError("x")), EOPNOTSUPP);
  EXPECT_EQ(status_errno(absl::InternalError("x")), EIO);
  EXPECT_EQ(status_errno(annotate(absl::NotFoundError("x"), "y")), ENOENT);
}

}  // namespace
}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// Image locks that QEMU and Penstock both take, so that neither corrupts what the other has open.
//
// They are shared OFD locks on single bytes: 100 + bit for each permission taken, 200 + bit for
// each permission not shared with others. Whoever takes a permission looks whether somebody has its
// "not shared" byte, and the reverse.
//
// Ownership: the descriptor is the file handle's, which outlives this.
// Threads: one call at a time. prepare() where it may block; the others release locks only, which
//   does not wait.
// Errors: EBUSY with the holder named where it can be found; the locks are then as before. Locks
//   that the filesystem has not: an error if they are required, else they are given up quietly.
// Invariants: between calls the locks held are those of the last permissions committed or prepared.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/thread_roles.h"
#include "block/node/permission.h"

namespace penstock {

class ImageLocks {
 public:
  enum class Mode { kOff, kAuto, kOn };

  ImageLocks(int fd, std::string path, Mode mode) : fd_(fd), path_(std::move(path)), mode_(mode) {}
  ImageLocks(const ImageLocks&) = delete;
  ImageLocks& operator=(const ImageLocks&) = delete;

  absl::Status prepare(const Permissions& wanted) BLOCKING_CODE;
  // Prepares the locks that `other`, on another descriptor of the same file, has prepared. Nobody
  // else is looked for: that one has.
  absl::Status prepare_as(const ImageLocks& other) BLOCKING_CODE;
  void commit();
  void roll_back();
  void release_all();

  bool active() const { return mode_ != Mode::kOff; }
  Mode mode() const { return mode_; }

 private:
  // The permissions whose bytes are locked, in both rows.
  struct Rows {
    Permission taken = 0;
    Permission unshared = 0;
  };
  int add(const Rows& rows);
  void reduce_to(const Rows& rows);
  absl::Status check(const Permissions& wanted) BLOCKING_CODE;
  absl::Status refusal(Permission permission, bool shared, int position) BLOCKING_CODE;

  const int fd_;
  const std::string path_;
  Mode mode_;
  Rows held_;
  Rows committed_;
  Rows prepared_;
};

}  // namespace penstock

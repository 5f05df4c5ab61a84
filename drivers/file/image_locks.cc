// SPDX-License-Identifier: Apache-2.0
#include "drivers/file/image_locks.h"

#include <fcntl.h>

#include <cerrno>

#include "absl/strings/str_join.h"
#include "base/status.h"
#include "drivers/file/lock_holder.h"

namespace penstock {
namespace {

constexpr int kTakenRow = 100;
constexpr int kUnsharedRow = 200;
constexpr int kPermissionBits = 4;

// Sets, clears or tests the lock of one byte; 0 or an errno.
int lock_byte(int fd, int position, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = position;
  lock.l_len = 1;
  int result;
  do {
    result = fcntl(fd, F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : errno;
}

// True if another open file has the byte locked.
bool byte_is_locked(int fd, int position) {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = position;
  lock.l_len = 1;
  return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

// Locks the bytes of a row that are wanted and not held; 0 or an errno.
int add_row(int fd, int row, Permission wanted, Permission& held) {
  for (int bit = 0; bit < kPermissionBits; ++bit) {
    const Permission permission = 1u << bit;
    if ((wanted & permission) == 0 || (held & permission) != 0) continue;
    if (const int error = lock_byte(fd, row + bit, F_RDLCK); error != 0) return error;
    held |= permission;
  }
  return 0;
}

void reduce_row(int fd, int row, Permission wanted, Permission& held) {
  for (int bit = 0; bit < kPermissionBits; ++bit) {
    const Permission permission = 1u << bit;
    if ((held & permission) == 0 || (wanted & permission) != 0) continue;
    // Unlocking a byte of one's own cannot be refused.
    lock_byte(fd, row + bit, F_UNLCK);
    held &= ~permission;
  }
}

}  // namespace

int ImageLocks::add(const Rows& rows) {
  const int error = add_row(fd_, kTakenRow, rows.taken, held_.taken);
  return error != 0 ? error : add_row(fd_, kUnsharedRow, rows.unshared, held_.unshared);
}

void ImageLocks::reduce_to(const Rows& rows) {
  reduce_row(fd_, kTakenRow, rows.taken, held_.taken);
  reduce_row(fd_, kUnsharedRow, rows.unshared, held_.unshared);
}

absl::Status ImageLocks::prepare(const Permissions& wanted) {
  prepared_ = {wanted.taken, kAllPermissions & ~wanted.shared};
  if (mode_ == Mode::kOff) return absl::OkStatus();
  const bool narrower = (prepared_.taken & ~committed_.taken) == 0 &&
                        (prepared_.unshared & ~committed_.unshared) == 0;
  // Then it must not fail because of somebody who is just about to be refused.
  if (narrower) return absl::OkStatus();
  if (const int error = add(prepared_); error != 0) {
    reduce_to(committed_);
    const bool busy = error == EAGAIN || error == EACCES;
    if (busy) {
      return errno_message(EBUSY, "Failed to lock " + path_ +
                                      ": another program has locked it in a way of its own; stop "
                                      "that program.");
    }
    if (mode_ == Mode::kAuto) {
      mode_ = Mode::kOff;
      return absl::OkStatus();
    }
    return errno_status(error, "locking " + path_ + " (locking=off opens it without locks)");
  }
  const absl::Status checked = check(wanted);
  if (!checked.ok()) reduce_to(committed_);
  return checked;
}

absl::Status ImageLocks::prepare_as(const ImageLocks& other) {
  mode_ = other.mode_;
  prepared_ = other.prepared_;
  if (mode_ == Mode::kOff) return absl::OkStatus();
  const int error = add(prepared_);
  if (error == 0) return absl::OkStatus();
  reduce_to(committed_);
  return errno_status(error, "locking " + path_ + " once more");
}

absl::Status ImageLocks::check(const Permissions& wanted) {
  for (int bit = 0; bit < kPermissionBits; ++bit) {
    const Permission permission = 1u << bit;
    if ((wanted.taken & permission) != 0 && byte_is_locked(fd_, kUnsharedRow + bit)) {
      return refusal(permission, false, kUnsharedRow + bit);
    }
  }
  for (int bit = 0; bit < kPermissionBits; ++bit) {
    const Permission permission = 1u << bit;
    if ((wanted.shared & permission) == 0 && byte_is_locked(fd_, kTakenRow + bit)) {
      return refusal(permission, true, kTakenRow + bit);
    }
  }
  return absl::OkStatus();
}

absl::Status ImageLocks::refusal(Permission permission, bool shared, int position) {
  const auto holders = find_lock_holders(fd_, position);
  const std::string who = holders.empty() ? "another process uses the image"
                                          : "the image is held by " + absl::StrJoin(holders, ", ");
  return errno_message(EBUSY, std::string("Failed to get ") + (shared ? "shared " : "") + "\"" +
                                  permission_names(permission) + "\" lock on " + path_ + ": " +
                                  who + ". Stop it, or use --force-share to read all the same.");
}

void ImageLocks::commit() {
  committed_ = prepared_;
  reduce_to(committed_);
}

void ImageLocks::roll_back() {
  prepared_ = committed_;
  reduce_to(committed_);
}

void ImageLocks::release_all() {
  committed_ = {};
  prepared_ = {};
  reduce_to(committed_);
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// Image locks as another program sees them and takes them.
//
// Ownership: owns a descriptor of the image, and the locks taken with it.
// Threads: the test's own thread.
// Errors: aborts if the image cannot be opened.
// Invariants: looking takes no lock.
#pragma once

#include <fcntl.h>

#include <cstdlib>
#include <string>

#include "base/unique_fd.h"

namespace penstock {

class ImageLockProbe {
 public:
  explicit ImageLockProbe(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC)) {
    if (fd_.get() < 0) std::abort();
  }

  // "100 101 203": the bytes that others have locked.
  std::string held() const {
    std::string text;
    for (const int row : {100, 200}) {
      for (int bit = 0; bit < 4; ++bit) {
        struct flock lock = range(row + bit, F_WRLCK);
        if (fcntl(fd_.get(), F_OFD_GETLK, &lock) != 0) std::abort();
        if (lock.l_type == F_UNLCK) continue;
        text += (text.empty() ? "" : " ") + std::to_string(row + bit);
      }
    }
    return text;
  }
  bool take(int position) const {
    struct flock lock = range(position, F_RDLCK);
    return fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0;
  }
  void release(int position) const {
    struct flock lock = range(position, F_UNLCK);
    if (fcntl(fd_.get(), F_OFD_SETLK, &lock) != 0) std::abort();
  }

 private:
  static struct flock range(int position, short type) {
    struct flock lock = {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = position;
    lock.l_len = 1;
    return lock;
  }

  const UniqueFd fd_;
};

}  // namespace penstock

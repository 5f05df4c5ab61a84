// SPDX-License-Identifier: Apache-2.0
#include "iothreads/system_operation.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

namespace penstock {

int32_t perform_system_operation(const IoOperation& operation) {
  const auto offset = static_cast<off_t>(operation.offset);
  ssize_t result = 0;
  do {
    switch (operation.opcode) {
      case IoOpcode::kReadv:
        result = ::preadv2(operation.fd, operation.iov, static_cast<int>(operation.iov_count),
                           offset, static_cast<int>(operation.mode));
        break;
      case IoOpcode::kWritev:
        result = ::pwritev2(operation.fd, operation.iov, static_cast<int>(operation.iov_count),
                            offset, static_cast<int>(operation.mode));
        break;
      case IoOpcode::kFsync:
        result = ::fdatasync(operation.fd);
        break;
      case IoOpcode::kFallocate:
        result = ::fallocate(operation.fd, static_cast<int>(operation.mode), offset,
                             static_cast<off_t>(operation.length));
        break;
      case IoOpcode::kNop:
        return 0;
      case IoOpcode::kPoll:
        return -EINVAL;
    }
  } while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : static_cast<int32_t>(result);
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "fuse/operations.h"

#include <errno.h>
#include <unistd.h>

#include "fuse/attributes.h"
#include "fuse/directory_operations.h"
#include "fuse/file_operations.h"
#include "fuse/session.h"
#include "fuse/space_operations.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

// Requests on an open or named file; the kernel sends none of them for the directory.
void co_serve_file(Session& session, RequestSlot& slot) COROUTINE_CODE {
  if (slot.request.node != session.file_node) return reply_error(slot, EISDIR);
  switch (slot.request.opcode) {
    case FUSE_READ:
      return co_read(session, slot);
    case FUSE_WRITE:
      return co_write(session, slot);
    case FUSE_OPEN:
      return reply_open(session, slot);
    case FUSE_FSYNC:
      return co_fsync(session, slot);
    case FUSE_FALLOCATE:
      return co_fallocate(session, slot);
    case FUSE_LSEEK:
      return co_lseek(session, slot);
    default:  // FLUSH and RELEASE: there is nothing behind a file handle
      return reply_ok(slot);
  }
}

void reply_opendir(const Session& session, RequestSlot& slot) {
  if (!session.has_directory() || slot.request.node != FUSE_ROOT_ID) {
    return reply_error(slot, ENOTDIR);
  }
  reply_with(slot, fuse_open_out{});
}

void reply_access(const Session& session, RequestSlot& slot) {
  const bool writes = (slot.request.mode & W_OK) != 0;
  reply_error(slot, writes && !session.options.writable ? EROFS : 0);
}

void co_dispatch(Session& session, RequestSlot& slot) COROUTINE_CODE {
  switch (slot.request.opcode) {
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_OPEN:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_FSYNC:
    case FUSE_FALLOCATE:
    case FUSE_LSEEK:
      return co_serve_file(session, slot);
    case FUSE_SYNCFS:
      return co_fsync(session, slot);
    case FUSE_GETATTR:
      return co_getattr(session, slot);
    case FUSE_SETATTR:
      return co_setattr(session, slot);
    case FUSE_LOOKUP:
      return co_lookup(session, slot);
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return co_readdir(session, slot);
    case FUSE_OPENDIR:
      return reply_opendir(session, slot);
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_DESTROY:
      return reply_ok(slot);
    case FUSE_STATFS:
      return reply_statfs(session, slot);
    case FUSE_ACCESS:
      return reply_access(session, slot);
    case FUSE_IOCTL:
      return reply_error(slot, ENOTTY);
    case FUSE_READLINK:
      return reply_error(slot, EINVAL);
    case FUSE_CREATE:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_SYMLINK:
    case FUSE_LINK:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_RENAME2:
    case FUSE_TMPFILE:
      return reply_error(slot, session.options.writable ? EPERM : EROFS);
    default:
      return reply_error(slot, ENOSYS);
  }
}

}  // namespace

void co_serve(RequestSlot& slot) {
  co_dispatch(*slot.session, slot);
  // Whatever served it may have moved it; the slot goes back where it came from.
  co_reschedule_self(slot.queue->context());
  slot.queue->finish(slot);
}

}  // namespace penstock

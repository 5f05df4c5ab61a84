// SPDX-License-Identifier: Apache-2.0
#include "fuse/operations.h"

#include <errno.h>
#include <unistd.h>

#include <span>

#include "base/status.h"
#include "fuse/attributes.h"
#include "fuse/directory_operations.h"
#include "fuse/file_operations.h"
#include "fuse/session.h"
#include "fuse/space_operations.h"
#include "iothreads/coroutine.h"

namespace penstock {
namespace {

void co_serve_file(Session& session, const ServedFile& file, RequestSlot& slot) COROUTINE_CODE {
  switch (slot.request.opcode) {
    case FUSE_READ:
      return co_read(session, file, slot);
    case FUSE_WRITE:
      return co_write(session, file, slot);
    case FUSE_OPEN:
      return reply_open(session, file, slot);
    case FUSE_FSYNC:
      return co_fsync(file, slot);
    case FUSE_FALLOCATE:
      return co_fallocate(session, file, slot);
    case FUSE_LSEEK:
      return co_lseek(session, file, slot);
    default:  // FLUSH and RELEASE: there is nothing behind a file handle
      return reply_ok(slot);
  }
}

void serve_text(const Session& session, const ServedEntry& text, RequestSlot& slot) {
  switch (slot.request.opcode) {
    case FUSE_READ:
      return reply_read_text(text, slot);
    case FUSE_OPEN:
      return reply_open_text(session, slot);
    case FUSE_WRITE:
    case FUSE_FALLOCATE:
      return reply_error(slot, EBADF);
    case FUSE_LSEEK:
      return reply_seek_text(text, slot);
    default:
      return reply_ok(slot);
  }
}

// Requests on what can be open; the kernel sends none of them for directories and links.
void co_serve_open(Session& session, const ServedEntry& entry, RequestSlot& slot) COROUTINE_CODE {
  switch (entry.kind) {
    case EntryKind::kFile:
      return co_serve_file(session, entry.file, slot);
    case EntryKind::kText:
      return serve_text(session, entry, slot);
    case EntryKind::kDirectory:
      return reply_error(slot, EISDIR);
    case EntryKind::kSymlink:
      return reply_error(slot, EINVAL);
  }
}

// Looks into a directory, which is filled first if it must be.
void co_serve_directory(Session& session, ServedEntry& directory,
                        RequestSlot& slot) COROUTINE_CODE {
  if (directory.kind != EntryKind::kDirectory) return reply_error(slot, ENOTDIR);
  if (slot.request.opcode == FUSE_OPENDIR) return reply_with(slot, fuse_open_out{});
  const absl::Status filled = session.tree.co_ensure_filled(directory);
  if (!filled.ok()) return reply_error(slot, status_errno(filled));
  if (slot.request.opcode == FUSE_LOOKUP) return co_lookup(session, directory, slot);
  co_readdir(session, directory, slot);
}

void co_sync_all(const Session& session, RequestSlot& slot) COROUTINE_CODE {
  reply_error(slot, status_errno(co_flush_all(session.tree)));
}

void reply_access(const Session& session, const ServedEntry& entry, RequestSlot& slot) {
  const bool writes = (slot.request.mode & W_OK) != 0;
  reply_error(slot, writes ? session.write_error(entry.file) : 0);
}

void reply_link(const ServedEntry& entry, RequestSlot& slot) {
  if (entry.kind != EntryKind::kSymlink) return reply_error(slot, EINVAL);
  slot.queue->reply(slot, 0, std::as_bytes(std::span(entry.content)));
}

void co_dispatch(Session& session, RequestSlot& slot) COROUTINE_CODE {
  ServedEntry* const entry = session.tree.find(slot.request.node);
  if (entry == nullptr && slot.request.opcode != FUSE_DESTROY) return reply_error(slot, ESTALE);
  switch (slot.request.opcode) {
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_OPEN:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_FSYNC:
    case FUSE_FALLOCATE:
    case FUSE_LSEEK:
      return co_serve_open(session, *entry, slot);
    case FUSE_SYNCFS:
      return co_sync_all(session, slot);
    case FUSE_GETATTR:
      return co_getattr(session, *entry, slot);
    case FUSE_SETATTR:
      return co_setattr(session, *entry, slot);
    case FUSE_LOOKUP:
    case FUSE_OPENDIR:
    case FUSE_READDIR:
    case FUSE_READDIRPLUS:
      return co_serve_directory(session, *entry, slot);
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_DESTROY:
      return reply_ok(slot);
    case FUSE_STATFS:
      return reply_statfs(session, slot);
    case FUSE_ACCESS:
      return reply_access(session, *entry, slot);
    case FUSE_IOCTL:
      return reply_error(slot, ENOTTY);
    case FUSE_READLINK:
      return reply_link(*entry, slot);
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
      return reply_error(slot, session.writable ? EPERM : EROFS);
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

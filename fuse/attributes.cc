// SPDX-License-Identifier: Apache-2.0
#include "fuse/attributes.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/status.h"
#include "block/io/child_io.h"
#include "fuse/served_window.h"

namespace penstock {
namespace {

constexpr uint64_t kStatBlock = 512;  // the unit of st_blocks, in bytes

uint64_t units(uint64_t bytes, uint64_t unit) { return bytes / unit + (bytes % unit != 0 ? 1 : 0); }

// The bytes that all files below `root` occupy, each counted once.
uint64_t allocated_bytes(const Node& root) {
  std::vector<const Node*> found = {&root};
  uint64_t sum = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    sum += found[i]->driver->allocated_bytes();
    for (const auto& child : found[i]->children) {
      const Node* node = child->node;
      if (node == nullptr || std::find(found.begin(), found.end(), node) != found.end()) continue;
      found.push_back(node);
    }
  }
  return sum;
}

uint32_t asked_mode(const Session& session, bool writable) {
  return session.options.mode.value_or(writable ? 0644 : 0444) & 0777;
}

uint32_t file_mode(const Session& session, const ServedFile& file) {
  // In a read-only mount the mode is the one that was asked for: the mount says what holds.
  const uint32_t possible = file.writable || !session.writable ? 0777 : 0555;
  return S_IFREG | (asked_mode(session, file.writable) & possible);
}

uint32_t directory_mode(const Session& session) {
  // Search follows the right to read the files. The owner's write bit is there so that a refused
  // change is answered by us, with the errno that says why.
  const uint32_t readable = asked_mode(session, session.writable) & 0444;
  return S_IFDIR | 0500 | readable | (readable >> 2) | (session.writable ? 0200 : 0);
}

void fill_owner_and_times(Session& session, fuse_attr* attributes) {
  const FileTimes::Snapshot times = session.times.read();
  attributes->atime = times.atime.tv_sec;
  attributes->atimensec = times.atime.tv_nsec;
  attributes->mtime = times.mtime.tv_sec;
  attributes->mtimensec = times.mtime.tv_nsec;
  attributes->ctime = times.ctime.tv_sec;
  attributes->ctimensec = times.ctime.tv_nsec;
  attributes->uid = session.uid;
  attributes->gid = session.gid;
  attributes->blksize = kProtocolPage;
}

void reply_attributes(const Session& session, const ServedEntry& entry, RequestSlot& slot,
                      const fuse_attr& attributes) {
  fuse_attr_out out = {};
  out.attr_valid = attributes_valid(session, entry);
  out.attr = attributes;
  reply_with(slot, out);
}

// Owner and mode are the export's options; asking for what they are already is fine.
absl::Status check_owner_and_mode(const Session& session, const ServedFile& file,
                                  const fuse_setattr_in& in) {
  const bool other_mode =
      (in.valid & FATTR_MODE) != 0 && (in.mode & 07777) != (file_mode(session, file) & 07777);
  const bool other_uid = (in.valid & FATTR_UID) != 0 && in.uid != session.uid;
  const bool other_gid = (in.valid & FATTR_GID) != 0 && in.gid != session.gid;
  if (other_mode || other_uid || other_gid) {
    return errno_status(EPERM, "changing the mode or owner of an export");
  }
  return absl::OkStatus();
}

absl::Status co_set_size(Session& session, const ServedFile& file, BackendRequest& request,
                         uint64_t size) IO_CODE {
  if (size == ServedWindow(file, request.size()).size()) return absl::OkStatus();
  // Opening with O_TRUNC ends here: it must not empty an image.
  if (!file.growable) return errno_status(EPERM, "truncating a file of fixed size");
  absl::Status status = co_resize(request.root(), file.offset + size);
  if (!status.ok()) return status;
  session.times.note_write(AioContext::current()->slot());
  request.tell_size_changed();
  return status;
}

// Times are kept for the life of the mount only, so that touch, cp -p and rsync -t succeed and see
// what they set.
void set_times(Session& session, const fuse_setattr_in& in) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  std::optional<timespec> atime;
  std::optional<timespec> mtime;
  if ((in.valid & FATTR_ATIME) != 0) {
    atime = timespec{static_cast<time_t>(in.atime), static_cast<long>(in.atimensec)};
  }
  if ((in.valid & FATTR_MTIME) != 0) {
    mtime = timespec{static_cast<time_t>(in.mtime), static_cast<long>(in.mtimensec)};
  }
  if ((in.valid & FATTR_ATIME_NOW) != 0) atime = now;
  if ((in.valid & FATTR_MTIME_NOW) != 0) mtime = now;
  if (atime || mtime) session.times.set(atime, mtime);
}

}  // namespace

uint64_t attributes_valid(const Session& session, const ServedEntry& entry) {
  // A directory's count of links grows while the tree does. A file's time and blocks change by
  // writes through others of its backend, of which the kernel knows nothing. Everything else
  // changes by the kernel's own requests alone, or it is told.
  if (entry.kind == EntryKind::kDirectory) return 0;
  return session.writable && session.tree.entry_count() > 2 ? 1 : kNameValid;
}

fuse_attr file_attributes(Session& session, const ServedEntry& entry,
                          const BackendRequest& request) {
  const uint64_t size = ServedWindow(entry.file, request.size()).size();
  if (entry.file.backend == session.main_backend) {
    session.last_size.store(request.size(), std::memory_order_relaxed);
  }
  fuse_attr attributes = {};
  attributes.ino = entry.node;
  attributes.size = size;
  const uint64_t occupied = std::max<uint64_t>(allocated_bytes(*request.root().node), 1);
  attributes.blocks = units(std::min(occupied, size), kStatBlock);
  attributes.mode = file_mode(session, entry.file);
  attributes.nlink = 1;
  fill_owner_and_times(session, &attributes);
  return attributes;
}

fuse_attr other_attributes(Session& session, const ServedEntry& entry) {
  fuse_attr attributes = {};
  attributes.ino = entry.node;
  attributes.nlink = 1;
  if (entry.kind == EntryKind::kDirectory) {
    attributes.mode = directory_mode(session);
    attributes.nlink = 2 + entry.subdirectories.load(std::memory_order_relaxed);
  } else {
    attributes.size = entry.content.size();
    if (entry.kind == EntryKind::kSymlink) {
      attributes.mode = S_IFLNK | 0777;
    } else {
      attributes.mode = S_IFREG | (asked_mode(session, false) & 0444);
      attributes.blocks = units(attributes.size, kStatBlock);
    }
  }
  fill_owner_and_times(session, &attributes);
  return attributes;
}

void co_getattr(Session& session, const ServedEntry& entry, RequestSlot& slot) {
  if (entry.kind != EntryKind::kFile) {
    return reply_attributes(session, entry, slot, other_attributes(session, entry));
  }
  BackendRequest request(*entry.file.backend, "getattr", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  reply_attributes(session, entry, slot, file_attributes(session, entry, request));
}

void co_setattr(Session& session, const ServedEntry& entry, RequestSlot& slot) {
  const fuse_setattr_in& in = slot.request.attributes;
  const ServedFile& file = entry.file;
  const bool sets_size = (in.valid & FATTR_SIZE) != 0;
  if (!session.writable) return reply_error(slot, EROFS);
  if (entry.kind == EntryKind::kDirectory && sets_size) return reply_error(slot, EISDIR);
  if (!file.writable) return reply_error(slot, sets_size ? EACCES : EPERM);
  BackendRequest request(*file.backend, sets_size ? "truncate" : "setattr",
                         sets_size ? file.offset + in.size : 0, 0);
  absl::Status status = request.status();
  if (status.ok()) status = check_owner_and_mode(session, file, in);
  if (status.ok() && sets_size) status = co_set_size(session, file, request, in.size);
  if (!status.ok()) return reply_error(slot, status_errno(status));
  set_times(session, in);
  reply_attributes(session, entry, slot, file_attributes(session, entry, request));
}

void reply_statfs(Session& session, RequestSlot& slot) {
  fuse_statfs_out out = {};
  const uint64_t size = session.last_size.load(std::memory_order_relaxed);
  out.st.bsize = kProtocolPage;
  out.st.frsize = kProtocolPage;
  out.st.blocks = units(size, kProtocolPage);
  out.st.files = session.tree.entry_count();
  out.st.namelen = 255;
  reply_with(slot, out);
}

}  // namespace penstock

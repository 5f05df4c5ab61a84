// SPDX-License-Identifier: Apache-2.0
#include "fuse/attributes.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "base/byte_range.h"
#include "base/status.h"
#include "block/io/child_io.h"

namespace penstock {
namespace {

constexpr uint64_t kStatBlock = 512;  // the unit of st_blocks, in bytes

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

uint32_t file_mode(const Session& session) {
  const uint32_t fallback = session.options.writable ? 0644 : 0444;
  return S_IFREG | (session.options.mode.value_or(fallback) & 0777);
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

void reply_attributes(RequestSlot& slot, const fuse_attr& attributes) {
  fuse_attr_out out = {};
  out.attr_valid = kAttributesValid;
  out.attr = attributes;
  reply_with(slot, out);
}

// Owner and mode are the export's options; asking for what they are already is fine.
absl::Status check_owner_and_mode(const Session& session, const fuse_setattr_in& in) {
  const bool other_mode =
      (in.valid & FATTR_MODE) != 0 && (in.mode & 07777) != (file_mode(session) & 07777);
  const bool other_uid = (in.valid & FATTR_UID) != 0 && in.uid != session.uid;
  const bool other_gid = (in.valid & FATTR_GID) != 0 && in.gid != session.gid;
  if (other_mode || other_uid || other_gid) {
    return errno_status(EPERM, "changing the mode or owner of an export");
  }
  return absl::OkStatus();
}

absl::Status co_set_size(Session& session, const BackendRequest& request, uint64_t size) IO_CODE {
  if (size == request.size()) return absl::OkStatus();
  // Opening with O_TRUNC ends here: it must not empty an image.
  if (!session.options.growable) return errno_status(EPERM, "truncating an export of fixed size");
  absl::Status status = co_resize(request.root(), size);
  if (status.ok()) session.times.note_write(AioContext::current()->slot());
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

fuse_attr file_attributes(Session& session, const BackendRequest& request) {
  const uint64_t size = request.size();
  session.last_size.store(size, std::memory_order_relaxed);
  fuse_attr attributes = {};
  attributes.ino = session.file_node;
  attributes.size = size;
  const uint64_t occupied = std::max<uint64_t>(allocated_bytes(*request.root().node), 1);
  const uint64_t shown = std::min(occupied, size);
  attributes.blocks = shown / kStatBlock + (shown % kStatBlock != 0 ? 1 : 0);
  attributes.mode = file_mode(session);
  attributes.nlink = 1;
  fill_owner_and_times(session, &attributes);
  return attributes;
}

fuse_attr directory_attributes(Session& session) {
  fuse_attr attributes = {};
  attributes.ino = FUSE_ROOT_ID;
  // Search follows the right to read the file. The owner's write bit is there so that a refused
  // change is answered by us, with the errno that says why.
  const uint32_t mode = file_mode(session);
  attributes.mode = S_IFDIR | 0500 | ((mode & 0444) >> 2) | (mode & 0444);
  if (session.options.writable) attributes.mode |= 0200;
  attributes.nlink = 2;
  fill_owner_and_times(session, &attributes);
  return attributes;
}

void co_getattr(Session& session, RequestSlot& slot) {
  if (slot.request.node != session.file_node) {
    return reply_attributes(slot, directory_attributes(session));
  }
  BackendRequest request(session.backend, "getattr", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  reply_attributes(slot, file_attributes(session, request));
}

void co_setattr(Session& session, RequestSlot& slot) {
  const fuse_setattr_in& in = slot.request.attributes;
  if (!session.options.writable) return reply_error(slot, EROFS);
  if (slot.request.node != session.file_node) return reply_error(slot, EPERM);
  const bool sets_size = (in.valid & FATTR_SIZE) != 0;
  BackendRequest request(session.backend, sets_size ? "truncate" : "setattr",
                         sets_size ? in.size : 0, 0);
  absl::Status status = request.status();
  if (status.ok()) status = check_owner_and_mode(session, in);
  if (status.ok() && sets_size) status = co_set_size(session, request, in.size);
  if (!status.ok()) return reply_error(slot, status_errno(status));
  set_times(session, in);
  reply_attributes(slot, file_attributes(session, request));
}

void reply_statfs(Session& session, RequestSlot& slot) {
  fuse_statfs_out out = {};
  const uint64_t size = session.last_size.load(std::memory_order_relaxed);
  out.st.bsize = kProtocolPage;
  out.st.frsize = kProtocolPage;
  out.st.blocks = size / kProtocolPage + (size % kProtocolPage != 0 ? 1 : 0);
  out.st.files = session.has_directory() ? 2 : 1;
  out.st.namelen = 255;
  reply_with(slot, out);
}

}  // namespace penstock

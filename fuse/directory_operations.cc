// SPDX-License-Identifier: Apache-2.0
#include "fuse/directory_operations.h"

#include <dirent.h>
#include <errno.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "fuse/attributes.h"

namespace penstock {
namespace {

struct Entry {
  std::string_view name;
  uint64_t node;
  uint32_t type;
};

constexpr std::array<Entry, 3> kEntries = {{
    {".", FUSE_ROOT_ID, DT_DIR},
    {"..", FUSE_ROOT_ID, DT_DIR},
    {kFileName, kFileNodeInDirectory, DT_REG},
}};

fuse_entry_out file_entry(const fuse_attr& attributes) {
  fuse_entry_out entry = {};
  entry.nodeid = kFileNodeInDirectory;
  entry.entry_valid = kAttributesValid;
  entry.attr_valid = kAttributesValid;
  entry.attr = attributes;
  return entry;
}

// Writes directory entries one after the other into a reply of limited size.
class EntryWriter {
 public:
  explicit EntryWriter(std::span<std::byte> room) : room_(room) {}

  // False if there is no room left. `lookup` is what READDIRPLUS puts before the entry.
  bool add(const Entry& entry, uint64_t cookie, const fuse_entry_out* lookup) {
    fuse_dirent head = {};
    head.ino = entry.node;
    head.off = cookie;
    head.namelen = static_cast<uint32_t>(entry.name.size());
    head.type = entry.type;
    const size_t before = lookup != nullptr ? sizeof(*lookup) : 0;
    const size_t length = before + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + entry.name.size());
    if (length > room_.size() - used_) return false;
    std::byte* out = room_.data() + used_;
    memset(out, 0, length);
    if (lookup != nullptr) memcpy(out, lookup, sizeof(*lookup));
    memcpy(out + before, &head, FUSE_NAME_OFFSET);
    memcpy(out + before + FUSE_NAME_OFFSET, entry.name.data(), entry.name.size());
    used_ += length;
    return true;
  }

  std::span<const std::byte> written() const { return room_.first(used_); }

 private:
  std::span<std::byte> room_;
  size_t used_ = 0;
};

}  // namespace

void co_lookup(Session& session, RequestSlot& slot) {
  if (!session.has_directory() || slot.request.node != FUSE_ROOT_ID) {
    return reply_error(slot, ENOTDIR);
  }
  if (slot.request.name != kFileName) return reply_error(slot, ENOENT);
  BackendRequest request(session.backend, "lookup", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  reply_with(slot, file_entry(file_attributes(session, request)));
}

void co_readdir(Session& session, RequestSlot& slot) {
  if (!session.has_directory() || slot.request.node != FUSE_ROOT_ID) {
    return reply_error(slot, ENOTDIR);
  }
  const bool plus = slot.request.opcode == FUSE_READDIRPLUS;
  BackendRequest request(session.backend, "readdir", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  const fuse_entry_out file = file_entry(file_attributes(session, request));
  // A node of 0 says that nothing was looked up: "." and ".." are not counted by the kernel.
  const fuse_entry_out none = {};
  EntryWriter writer(slot.payload.first(std::min<size_t>(slot.request.length, kProtocolPage)));
  slot.payload_touched = std::max(slot.payload_touched, kProtocolPage);
  for (uint64_t index = slot.request.offset; index < kEntries.size(); ++index) {
    const Entry& entry = kEntries[index];
    const fuse_entry_out* lookup = entry.node == kFileNodeInDirectory ? &file : &none;
    if (!writer.add(entry, index + 1, plus ? lookup : nullptr)) break;
  }
  slot.queue->reply(slot, 0, writer.written());
}

}  // namespace penstock

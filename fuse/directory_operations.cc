// SPDX-License-Identifier: Apache-2.0
#include "fuse/directory_operations.h"

#include <dirent.h>
#include <errno.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "block/backend/backend_request.h"
#include "fuse/attributes.h"

namespace penstock {
namespace {

// A reply's room, in bytes. The kernel offers more where a program does.
constexpr size_t kRoom = 16 * kProtocolPage;
// "." and "..".
constexpr uint64_t kDots = 2;

struct Listed {
  std::string_view name;
  uint64_t node;
  uint32_t type;
};

uint32_t type_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::kDirectory:
      return DT_DIR;
    case EntryKind::kSymlink:
      return DT_LNK;
    case EntryKind::kFile:
    case EntryKind::kText:
      return DT_REG;
  }
  return DT_UNKNOWN;
}

fuse_entry_out looked_up(const Session& session, const ServedEntry& entry,
                         const fuse_attr& attributes) {
  fuse_entry_out out = {};
  out.nodeid = entry.node;
  out.entry_valid = kNameValid;
  out.attr_valid = attributes_valid(session, entry);
  out.attr = attributes;
  return out;
}

// Writes directory entries one after the other into a reply of limited size.
class EntryWriter {
 public:
  explicit EntryWriter(std::span<std::byte> room) : room_(room) {}

  // False if there is no room left. `lookup` is what READDIRPLUS puts before the entry.
  bool add(const Listed& entry, uint64_t cookie, const fuse_entry_out* lookup) {
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

// What one reply may hold: the dots if they are asked for, then entries.
struct Page {
  const ServedEntry& directory;
  const uint64_t first;  // the cookie that was given: 0, 1 the dots, 2 the first entry
  const size_t room;     // bytes
  std::vector<const ServedEntry*> entries;
  // Beside each entry, for READDIRPLUS. A node of 0 says that the entry was not looked up.
  std::vector<fuse_entry_out> lookups;
};

void reply_page(const Page& page, RequestSlot& slot) {
  const bool plus = slot.request.opcode == FUSE_READDIRPLUS;
  const fuse_entry_out none = {};
  EntryWriter writer(slot.payload.first(page.room));
  slot.payload_touched = std::max(slot.payload_touched, page.room);
  uint64_t cookie = page.first;
  bool fits = true;
  for (; fits && cookie < kDots; ++cookie) {
    const Listed dot = cookie == 0 ? Listed{".", page.directory.node, DT_DIR}
                                   : Listed{"..", page.directory.parent, DT_DIR};
    fits = writer.add(dot, cookie + 1, plus ? &none : nullptr);
  }
  for (size_t i = 0; fits && i < page.entries.size(); ++i, ++cookie) {
    const ServedEntry& entry = *page.entries[i];
    fits = writer.add({entry.name, entry.node, type_of(entry.kind)}, cookie + 1,
                      plus ? &page.lookups[i] : nullptr);
  }
  slot.queue->reply(slot, 0, writer.written());
}

bool is_file(const ServedEntry* entry) { return entry->kind == EntryKind::kFile; }

// Looks up what needs no backend, and the files of one backend, in whose gate the reply is sent. A
// program that wants more asks for it by name.
void co_reply_page_plus(Session& session, Page& page, RequestSlot& slot) COROUTINE_CODE {
  page.lookups.resize(page.entries.size());
  for (size_t i = 0; i < page.entries.size(); ++i) {
    const ServedEntry& entry = *page.entries[i];
    if (is_file(&entry)) continue;
    page.lookups[i] = looked_up(session, entry, other_attributes(session, entry));
  }
  const auto first = std::find_if(page.entries.begin(), page.entries.end(), is_file);
  if (first == page.entries.end()) return reply_page(page, slot);
  Backend* const backend = (*first)->file.backend;
  BackendRequest request(*backend, "readdir", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  for (size_t i = 0; i < page.entries.size(); ++i) {
    const ServedEntry& entry = *page.entries[i];
    if (!is_file(&entry) || entry.file.backend != backend) continue;
    page.lookups[i] = looked_up(session, entry, file_attributes(session, entry, request));
  }
  reply_page(page, slot);
}

}  // namespace

void co_lookup(Session& session, const ServedEntry& directory, RequestSlot& slot) {
  const ServedEntry* const entry = session.tree.look_up(directory, slot.request.name);
  if (entry == nullptr) return reply_error(slot, ENOENT);
  if (!is_file(entry)) {
    return reply_with(slot, looked_up(session, *entry, other_attributes(session, *entry)));
  }
  BackendRequest request(*entry->file.backend, "lookup", 0, 0);
  if (!request.status().ok()) return reply_error(slot, status_errno(request.status()));
  reply_with(slot, looked_up(session, *entry, file_attributes(session, *entry, request)));
}

void co_readdir(Session& session, const ServedEntry& directory, RequestSlot& slot) {
  const bool plus = slot.request.opcode == FUSE_READDIRPLUS;
  const uint64_t first = slot.request.offset;
  const size_t room = std::min<size_t>(slot.request.length, kRoom);
  const size_t shortest = (plus ? sizeof(fuse_entry_out) : 0) + FUSE_NAME_OFFSET;
  Page page{directory,
            first,
            room,
            session.tree.list(directory, std::max(first, kDots) - kDots, room / shortest),
            {}};
  if (!plus) return reply_page(page, slot);
  co_reply_page_plus(session, page, slot);
}

}  // namespace penstock

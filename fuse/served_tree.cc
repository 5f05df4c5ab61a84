// SPDX-License-Identifier: Apache-2.0
#include "fuse/served_tree.h"

#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <map>
#include <utility>

#include "iothreads/control_thread.h"

namespace penstock {
namespace {

// Chunk k holds kFirstChunk << k entries, so that entries never move and few chunks hold them all.
constexpr uint64_t kFirstChunk = 16;
constexpr size_t kChunks = 40;

struct Place {
  size_t chunk;
  uint64_t index;
};

Place place_of(uint64_t number) {
  const uint64_t shifted = number + kFirstChunk;
  const size_t chunk = std::bit_width(shifted) - std::bit_width(kFirstChunk);
  return {chunk, shifted - (kFirstChunk << chunk)};
}

// One run of a filler, which everybody waits for who looks into the directory meanwhile.
struct Filling {
  CoEvent done;
  absl::Status status;
};

void check([[maybe_unused]] bool condition, [[maybe_unused]] const char* what,
           [[maybe_unused]] std::string_view name) {
#if defined(PENSTOCK_DEBUG_CHECKS)
  if (condition) return;
  fprintf(stderr, "penstock: the entry \"%.*s\" %s\n", static_cast<int>(name.size()), name.data(),
          what);
  abort();
#endif
}

}  // namespace

struct ServedTree::State {
  ServedEntry& slot(uint64_t number) {
    const Place place = place_of(number);
    return chunks[place.chunk].load(std::memory_order_relaxed)[place.index];
  }
  ServedEntry& make(EntryKind kind) REQUIRES_ROLE(mutex);
  void make_root(EntryKind kind, const ServedFile& file);
  uint64_t add(uint64_t parent, std::string name, EntryKind kind,
               const std::function<void(ServedEntry&)>& fill_in);
  void note_file(const ServedEntry& entry) REQUIRES_ROLE(mutex);
  absl::Status co_fill(ServedTree& tree, ServedEntry& directory) CONTROL_COROUTINE_CODE;

  // Constant for each entry below `count`, which is stored after them.
  std::array<std::atomic<ServedEntry*>, kChunks> chunks{};
  std::atomic<uint64_t> count{0};

  mutable ThreadMutex mutex{"ServedTree"};
  std::array<std::unique_ptr<ServedEntry[]>, kChunks> memory GUARDED_BY(mutex);
  // By directory and name; the names are the entries' own.
  std::map<std::pair<uint64_t, std::string_view>, const ServedEntry*> names GUARDED_BY(mutex);
  std::vector<const ServedEntry*> files GUARDED_BY(mutex);
  std::vector<Backend*> writable GUARDED_BY(mutex);

  // The control thread's, by the directory's node.
  std::map<uint64_t, std::shared_ptr<Filling>> fillings;
};

ServedEntry& ServedTree::State::make(EntryKind kind) {
  const uint64_t number = count.load(std::memory_order_relaxed);
  const Place place = place_of(number);
  if (memory[place.chunk] == nullptr) {
    memory[place.chunk] = std::make_unique<ServedEntry[]>(kFirstChunk << place.chunk);
    chunks[place.chunk].store(memory[place.chunk].get(), std::memory_order_relaxed);
  }
  ServedEntry& entry = slot(number);
  entry.node = number + 1;
  entry.kind = kind;
  return entry;
}

void ServedTree::State::note_file(const ServedEntry& entry) {
  files.push_back(&entry);
  Backend* const backend = entry.file.backend;
  if (!entry.file.writable) return;
  if (std::find(writable.begin(), writable.end(), backend) == writable.end()) {
    writable.push_back(backend);
  }
}

void ServedTree::State::make_root(EntryKind kind, const ServedFile& file) {
  ThreadLock lock(mutex);
  ServedEntry& root = make(kind);
  root.parent = root.node;
  root.file = file;
  if (kind == EntryKind::kFile) note_file(root);
  count.store(1, std::memory_order_release);
}

uint64_t ServedTree::State::add(uint64_t parent, std::string name, EntryKind kind,
                                const std::function<void(ServedEntry&)>& fill_in) {
  ThreadLock lock(mutex);
  check(parent >= 1 && parent <= count.load(std::memory_order_relaxed) &&
            slot(parent - 1).kind == EntryKind::kDirectory,
        "is added to what is no directory", name);
  ServedEntry& directory = slot(parent - 1);
  ServedEntry& entry = make(kind);
  entry.parent = parent;
  entry.name = std::move(name);
  fill_in(entry);
  const bool added = names.emplace(std::pair(parent, std::string_view(entry.name)), &entry).second;
  check(added, "is there already", entry.name);
  if (!entry.hidden) {
    directory.entries.push_back(&entry);
    if (kind == EntryKind::kDirectory) {
      directory.subdirectories.fetch_add(1, std::memory_order_relaxed);
    }
  }
  if (kind == EntryKind::kFile) note_file(entry);
  // Whoever reads the count sees the entry.
  count.store(entry.node, std::memory_order_release);
  return entry.node;
}

ServedTree::ServedTree() : state_(std::make_unique<State>()) {
  state_->make_root(EntryKind::kDirectory, {});
}

ServedTree::ServedTree(const ServedFile& root) : state_(std::make_unique<State>()) {
  state_->make_root(EntryKind::kFile, root);
}

ServedTree::~ServedTree() = default;

uint64_t ServedTree::add_file(uint64_t parent, std::string name, const ServedFile& file) {
  return state_->add(parent, std::move(name), EntryKind::kFile,
                     [&](ServedEntry& entry) { entry.file = file; });
}

uint64_t ServedTree::add_text(uint64_t parent, std::string name, std::string content) {
  return state_->add(parent, std::move(name), EntryKind::kText,
                     [&](ServedEntry& entry) { entry.content = std::move(content); });
}

uint64_t ServedTree::add_symlink(uint64_t parent, std::string name, std::string target) {
  return state_->add(parent, std::move(name), EntryKind::kSymlink,
                     [&](ServedEntry& entry) { entry.content = std::move(target); });
}

uint64_t ServedTree::add_directory(uint64_t parent, std::string name, DirectoryFiller* filler,
                                   bool hidden) {
  return state_->add(parent, std::move(name), EntryKind::kDirectory, [&](ServedEntry& entry) {
    entry.hidden = hidden;
    entry.filler = filler;
    const auto fill = filler != nullptr ? ServedEntry::Fill::kNotYet : ServedEntry::Fill::kDone;
    entry.fill.store(fill, std::memory_order_relaxed);
  });
}

ServedEntry* ServedTree::find(uint64_t node) const {
  // Node 0 is none, and wraps to a number that is never reached.
  const uint64_t number = node - 1;
  if (number >= state_->count.load(std::memory_order_acquire)) return nullptr;
  return &state_->slot(number);
}

const ServedEntry* ServedTree::look_up(const ServedEntry& directory, std::string_view name) const {
  ThreadLock lock(state_->mutex);
  const auto found = state_->names.find(std::pair(directory.node, name));
  return found == state_->names.end() ? nullptr : found->second;
}

std::vector<const ServedEntry*> ServedTree::list(const ServedEntry& directory, size_t index,
                                                 size_t limit) const {
  ThreadLock lock(state_->mutex);
  const auto& all = directory.entries;
  if (index >= all.size()) return {};
  const auto begin = all.begin() + static_cast<ptrdiff_t>(index);
  return {begin, begin + static_cast<ptrdiff_t>(std::min(limit, all.size() - index))};
}

size_t ServedTree::entry_count() const { return state_->count.load(std::memory_order_acquire); }

Backend* ServedTree::first_backend() const {
  ThreadLock lock(state_->mutex);
  return state_->files.empty() ? nullptr : state_->files.front()->file.backend;
}

std::vector<Backend*> ServedTree::writable_backends() const {
  ThreadLock lock(state_->mutex);
  return state_->writable;
}

std::vector<const ServedEntry*> ServedTree::files_of(const Backend& backend) const {
  std::vector<const ServedEntry*> found;
  ThreadLock lock(state_->mutex);
  for (const ServedEntry* entry : state_->files) {
    if (entry->file.backend == &backend) found.push_back(entry);
  }
  return found;
}

absl::Status ServedTree::co_ensure_filled(ServedEntry& directory) {
  if (directory.fill.load(std::memory_order_acquire) == ServedEntry::Fill::kDone) {
    return absl::OkStatus();
  }
  CoControlHop hop;
  assert_control_thread();
  return state_->co_fill(*this, directory);
}

absl::Status ServedTree::State::co_fill(ServedTree& tree, ServedEntry& directory) {
  // Only the control thread changes the state, so it stands still between two yields.
  if (directory.fill.load(std::memory_order_relaxed) == ServedEntry::Fill::kDone) {
    return absl::OkStatus();
  }
  std::shared_ptr<Filling> filling = fillings[directory.node];
  if (filling != nullptr) {
    filling->done.co_wait();
    return filling->status;
  }
  filling = std::make_shared<Filling>();
  fillings[directory.node] = filling;
  directory.fill.store(ServedEntry::Fill::kUnderWay, std::memory_order_relaxed);
  const absl::StatusOr<Filled> filled = directory.filler->co_fill(tree, directory.node);
  filling->status = filled.status();
  fillings.erase(directory.node);
  const bool has_all = filled.ok() && *filled == Filled::kAll;
  directory.fill.store(has_all ? ServedEntry::Fill::kDone : ServedEntry::Fill::kNotYet,
                       std::memory_order_release);
  filling->done.set();
  return filling->status;
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// What one mount shows: directories, files that are windows of backends, texts and symbolic links.
//
// Ownership: owns its entries, which live as long as it; refers to backends and fillers, which
//   outlive it. The composition root owns the tree; it outlives the export.
// Threads: entries are added on the control thread, at any time, also while requests look things up
//   on any thread; find() and the entries' constants are for any thread.
// Errors: none; adding a name that is there already is the caller's bug (aborts in debug builds).
// Invariants: node numbers are 1 (FUSE_ROOT_ID) for the root, then 2, 3, ... in order of adding;
//   an entry is never changed or removed, except that directories gain entries. A tree whose root
//   is a file has no other entry.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "block/backend/backend.h"
#include "iothreads/co_event.h"
#include "iothreads/thread_mutex.h"

namespace penstock {

class ServedTree;

enum class Filled : uint8_t { kAll, kForNow };

// Fills a directory when somebody first looks into it, so that mounting need not.
class DirectoryFiller {
 public:
  virtual ~DirectoryFiller() = default;
  // Adds the entries of `directory` (its node number). Runs once at a time for each directory; who
  // looks into it meanwhile waits. After kAll it does not run again. After kForNow what was added
  // is shown, and the next look runs it again, for the rest. On an error this run may have added
  // nothing; those who waited get the error's errno, and the next look tries again.
  virtual absl::StatusOr<Filled> co_fill(ServedTree& tree,
                                         uint64_t directory) CONTROL_COROUTINE_CODE = 0;
};

// A window of a backend's bytes.
struct ServedFile {
  Backend* backend = nullptr;
  uint64_t offset = 0;             // bytes, of the window in the backend
  std::optional<uint64_t> length;  // bytes; none: up to the backend's end, wherever that is now
  bool writable = false;
  bool growable = false;  // only without a length
};

enum class EntryKind : uint8_t { kDirectory, kFile, kText, kSymlink };

struct ServedEntry {
  // Constant.
  uint64_t node = 0;
  uint64_t parent = 0;
  EntryKind kind = EntryKind::kDirectory;
  bool hidden = false;  // found by name, but not listed
  std::string name;
  ServedFile file;      // kFile
  std::string content;  // kText: the file's bytes; kSymlink: the target
  DirectoryFiller* filler = nullptr;

  // kDirectory: what is listed in it, in the order of adding, guarded by the tree's lock; how many
  // of these are directories; and whether its filler has done all.
  std::vector<const ServedEntry*> entries;
  std::atomic<uint32_t> subdirectories{0};
  enum class Fill : uint8_t { kNotYet, kUnderWay, kDone };
  std::atomic<Fill> fill{Fill::kDone};
};

class ServedTree {
 public:
  // A root directory, empty.
  ServedTree();
  // A single file: the mount covers a regular file.
  explicit ServedTree(const ServedFile& root);
  ServedTree(const ServedTree&) = delete;
  ServedTree& operator=(const ServedTree&) = delete;
  ~ServedTree();

  // Each answers the new entry's node number. `parent` is a directory's.
  uint64_t add_file(uint64_t parent, std::string name, const ServedFile& file) GLOBAL_STATE_CODE;
  uint64_t add_text(uint64_t parent, std::string name, std::string content) GLOBAL_STATE_CODE;
  uint64_t add_symlink(uint64_t parent, std::string name, std::string target) GLOBAL_STATE_CODE;
  // With a filler the directory is filled when it is first looked into. Hidden directories are for
  // the server's own use of its mount.
  uint64_t add_directory(uint64_t parent, std::string name, DirectoryFiller* filler = nullptr,
                         bool hidden = false) GLOBAL_STATE_CODE;

  // nullptr if there is none. Takes no lock: requests on files pass here.
  ServedEntry* find(uint64_t node) const;
  ServedEntry& root() const { return *find(1); }
  // By name, in a directory that is filled; nullptr if there is none.
  const ServedEntry* look_up(const ServedEntry& directory, std::string_view name) const;
  // The listed entries of a filled directory from `index` on, at most `limit`.
  std::vector<const ServedEntry*> list(const ServedEntry& directory, size_t index,
                                       size_t limit) const;
  size_t entry_count() const;
  // The backend of the file that was added first; nullptr if there is no file.
  Backend* first_backend() const;
  // Those that a writable file shows, each once.
  std::vector<Backend*> writable_backends() const;
  // The files that show bytes of `backend`.
  std::vector<const ServedEntry*> files_of(const Backend& backend) const;

  // Fills the directory unless all is there; waits for whoever does so already. The caller holds no
  // gate: it goes to the control thread and comes back.
  absl::Status co_ensure_filled(ServedEntry& directory) IO_OR_GS_CODE;

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// What a driver implements. Copy drivers/null to start one.
//
// A DriverType is one format or protocol; a Driver is its instance in one node. Opening has two
// parts: co_load does I/O only and answers a finished Driver; the graph then commits it without
// I/O. Closing likewise: co_inactivate does the I/O, the destructor frees memory.
//
// Ownership: the registry owns types for ever; a node owns its driver.
// Threads: I/O functions on any context, many at once; the driver's own locks protect its state.
//   Global-state functions on the control thread only.
// Errors: with the exact errno and, for I/O, the offset.
// Invariants: I/O functions are called through the choke point only (DriverAccess): ranges are
//   within the size (writes may grow it where growable), aligned as limits() says, never empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/byte_range.h"
#include "base/host_services.h"
#include "base/io_vector.h"
#include "base/thread_roles.h"
#include "block/node/child_role.h"
#include "block/node/image_check.h"
#include "block/node/image_names.h"
#include "block/node/image_snapshot.h"
#include "block/node/limits.h"
#include "block/node/mapping.h"
#include "block/node/options.h"
#include "block/node/permission.h"
#include "block/node/request_flags.h"
#include "nlohmann/json.hpp"

namespace penstock {

class DriverAccess;
class Node;
struct Child;

// A driver that says where bytes are, and lets the engine move them.
class MappedIo {
 public:
  virtual ~MappedIo() = default;

 private:
  friend class DriverAccess;
  // Where the first part of `range` is. kWrite never answers kZero or kUnallocated.
  virtual absl::StatusOr<Mapping> co_map(ByteRange range, MapIntent intent) IO_CODE = 0;
  // Moves the bytes of a kSpecial mapping. The default refuses with EOPNOTSUPP.
  virtual absl::Status co_read_special(const Mapping& mapping, const IoVector& data) IO_CODE;
  virtual absl::Status co_write_special(const Mapping& mapping, const IoVector& data) IO_CODE;
  // Zeroes or discards a range in metadata; EOPNOTSUPP makes the engine pass it to the mapped
  // child.
  virtual absl::Status co_map_zeroes(ByteRange range, RequestFlags flags) IO_CODE;
  virtual absl::Status co_map_discard(ByteRange range) IO_CODE;
  // Makes the driver's metadata durable; the engine flushes the children afterwards.
  virtual absl::Status co_flush_metadata() IO_CODE;
};

// A driver that moves bytes itself: a protocol, or a filter that acts on requests.
class DirectIo {
 public:
  virtual ~DirectIo() = default;

 private:
  friend class DriverAccess;
  virtual absl::Status co_readv(uint64_t offset, const IoVector& data,
                                RequestFlags flags) IO_CODE = 0;
  virtual absl::Status co_writev(uint64_t offset, const IoVector& data,
                                 RequestFlags flags) IO_CODE = 0;
  virtual absl::Status co_flush() IO_CODE = 0;
  // EOPNOTSUPP: the choke point writes zeroes instead.
  virtual absl::Status co_write_zeroes(ByteRange range, RequestFlags flags) IO_CODE;
  // Advisory; EOPNOTSUPP counts as success.
  virtual absl::Status co_discard(ByteRange range) IO_CODE;
  // The default: all data.
  virtual absl::StatusOr<BlockStatus> co_block_status(ByteRange range) IO_CODE;
};

// A driver whose size can change.
class Resizable {
 public:
  virtual ~Resizable() = default;
  // True if a write past the end grows the node.
  virtual bool grows_by_writing() const = 0;

 private:
  friend class DriverAccess;
  // Makes the size exactly `size` bytes; new bytes read as zeroes.
  virtual absl::Status co_resize(uint64_t size) IO_CODE = 0;
};

class Driver;

// A new description of a node that is open.
struct ReopenContext {
  const NodeOptions& now;      // as it was opened
  const NodeOptions& options;  // as it is to be
  HostServices& host;
  // The "file" child as it is and as it will be, and the size that the latter will have (bytes).
  const Node* file = nullptr;
  const Node* new_file = nullptr;
  uint64_t new_file_size = 0;
};

// What a driver answers to it.
struct Reopened {
  // Takes this driver's place when all is committed; nullptr: it stays. It uses the same edges.
  // Until then it is only asked for child_permissions() and the *_permissions() functions.
  std::unique_ptr<Driver> driver;
  std::optional<uint64_t> size;    // the node's, bytes; nothing: it stays
  bool size_follows_file = false;  // `size` grows and shrinks as `new_file_size` does meanwhile
  std::optional<Limits> limits;
};

class Driver {
 public:
  virtual ~Driver() = default;

  // Exactly one of the first two answers something.
  virtual MappedIo* mapped_io() { return nullptr; }
  virtual DirectIo* direct_io() { return nullptr; }
  virtual Resizable* resizable() { return nullptr; }
  virtual Checkable* checkable() { return nullptr; }
  // True for a filter: its bytes, size and status are its "file" child's.
  virtual bool is_filter() const { return false; }
  // True if the node's size is that of its "file", whoever changes that.
  virtual bool has_size_of_file() const { return is_filter(); }

  // An internal event of the choke point (the field's name: "pwritev_rmw_head", ...) for the node's
  // driver; only the faults filter does something with it. `range` is what the event is about.
  virtual absl::Status co_event(const char* /*event*/, ByteRange /*range*/) IO_CODE {
    return absl::OkStatus();
  }

  // What the node needs on a child, given what its own users take and share together.
  virtual Permissions child_permissions(const Child& child,
                                        const Permissions& parents) const GLOBAL_STATE_CODE;
  // Permission changes that need I/O (image locks, reopening): may wait; then one of the two that
  // cannot fail. Only the newest prepared one is committed or rolled back.
  virtual absl::Status co_prepare_permissions(const Permissions& permissions)
      CONTROL_COROUTINE_CODE;
  virtual void commit_permissions() GLOBAL_STATE_CODE {}
  virtual void roll_back_permissions() GLOBAL_STATE_CODE {}

  // A drained section begins, or has ended: stop or resume what the driver starts by itself.
  virtual void drain_begin() GLOBAL_STATE_CODE {}
  virtual void drain_end() GLOBAL_STATE_CODE {}
  // A drain of what is above this node waits for requests that may be in it: let go those that it
  // holds back on purpose, and hold back no more until the end.
  virtual void hurry_begin() GLOBAL_STATE_CODE {}
  virtual void hurry_end() GLOBAL_STATE_CODE {}

  // Gets ready what the new description needs (a new descriptor); may wait, and only adds. What it
  // answers is dropped if the change does not come. The default refuses other driver options, and
  // another "file" unless its bytes are the same or the driver is a filter.
  virtual absl::StatusOr<Reopened> co_prepare_reopen(const ReopenContext& context)
      CONTROL_COROUTINE_CODE;

  // Writes back and releases what needs I/O (locks, dirty marks). Nothing follows but the
  // destructor.
  virtual absl::Status co_inactivate() IO_CODE { return absl::OkStatus(); }

  // The internal snapshots of the image, in its own order. Constant while the node is read-only.
  virtual std::vector<ImageSnapshot> snapshots() const { return {}; }
  // What is wrong with the image though it can be read, for the log: a clause each. Constant.
  virtual std::vector<std::string> warnings() const { return {}; }
  // For people and for query commands: driver-specific facts by QEMU's key names, or null.
  virtual nlohmann::json describe() const { return nullptr; }
  // Bytes that the node itself occupies on its storage (0 for formats: their children count).
  virtual uint64_t allocated_bytes() const { return 0; }
};

// EINVAL naming the first driver option that the new description changes, but for those in
// `changeable`.
absl::Status refuse_changed_options(const ReopenContext& context,
                                    std::span<const std::string_view> changeable = {});

// EINVAL if the new "file" holds other bytes than the one that the driver has read: another one
// than with filters above it or taken away.
absl::Status refuse_other_storage(const ReopenContext& context);

// What co_load hands back: everything that a node needs.
struct LoadedDriver {
  std::unique_ptr<Driver> driver;
  uint64_t size = 0;  // bytes
  Limits limits;
  std::string file_name;  // for messages and "info"; empty if none
  // Children that the driver found it needs beside those in the options (a backing file).
  std::map<std::string, ChildOptions> wanted_children;
};

struct LoadContext {
  const NodeOptions& options;
  HostServices& host;
  // The "file" child, already attached and readable by child_io; nullptr for protocols.
  Child* file = nullptr;
  // What names inside the image mean; nullptr: they are not followed, and needing one is EPERM.
  ImageNames* names = nullptr;
};

class DriverType {
 public:
  virtual ~DriverType() = default;
  virtual std::string_view name() const = 0;
  // True if it has a "file" child.
  virtual bool has_file_child() const = 0;
  // True if options may name or describe a child called so.
  virtual bool takes_child(std::string_view child_name) const {
    return has_file_child() && child_name == "file";
  }
  // What the child is for (attach order and default permissions).
  virtual ChildRole role_of(std::string_view child_name) const;
  // 0: not this format; 100: surely. `head` is the start of the image (up to 64 KiB).
  virtual int probe(std::span<const std::byte> /*head*/) const { return 0; }
  // I/O only, on any context; cancelled by failing its child's requests.
  virtual absl::StatusOr<LoadedDriver> co_load(const LoadContext& context) const IO_CODE = 0;
};

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
// Block status: a walk down the nodes, in a loop, to where something is known about the bytes.
#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/io/driver_access.h"
#include "block/io/mapped_io.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"

namespace penstock {
namespace {

const Child* filtered_child(const Node& node) {
  for (const auto& child : node.children) {
    if (child->role == ChildRole::kFiltered) return child.get();
  }
  return node.find_child("file");
}

class StatusWalk {
 public:
  StatusWalk(Node& node, ByteRange range) : node_(&node), range_(range) {}
  StatusWalk(const StatusWalk&) = delete;
  StatusWalk& operator=(const StatusWalk&) = delete;
  ~StatusWalk() {
    while (!entered_.empty()) entered_.pop_back();
  }

  absl::StatusOr<BlockStatus> co_run() IO_CODE {
    while (true) {
      if (node_->driver->is_filter()) {
        if (const Child* const below = filtered_child(*node_)) {
          if (auto status = enter(*below, range_.offset, false); !status.ok()) return status;
          if (done_) return result_;
          continue;
        }
      }
      DirectIo* const direct = node_->driver->direct_io();
      if (direct != nullptr) return co_ask_driver(*direct);
      if (auto status = co_look(*node_->driver->mapped_io()); !status.ok()) return status;
      if (done_) return result_;
    }
  }

 private:
  absl::StatusOr<BlockStatus> co_ask_driver(DirectIo& direct) IO_CODE {
    auto answer = DriverAccess::co_block_status(direct, range_);
    if (!answer.ok()) return answer;
    if (answer->length == 0) {
      return errno_status(EIO, "the driver answered a block status of no length");
    }
    result_.length = std::min(answer->length, range_.length);
    result_.data = answer->data;
    result_.zero = answer->zero;
    // What the layers above said holds; with none above that had mappings, it is this one's.
    if (!decided_) result_.allocated = answer->allocated;
    if (!has_data_) result_.present = answer->allocated;
    result_.zero_below = has_data_ && answer->zero;
    return result_;
  }

  absl::Status co_look(MappedIo& io) IO_CODE {
    const auto mapping = DriverAccess::co_map(io, range_, MapIntent::kLook);
    if (!mapping.ok()) return mapping.status();
    range_.length = mapping->range.length;
    const bool here = mapping->kind != MappingKind::kUnallocated;
    // The first layer with mappings decides whether the bytes are its own.
    if (!decided_) result_.allocated = here;
    decided_ = true;
    result_.present = here;
    has_data_ = mapping->kind == MappingKind::kData;
    switch (mapping->kind) {
      case MappingKind::kData:
        result_.child = mapping->child;
        result_.child_offset = mapping->child_offset;
        return enter(*mapping->child, mapping->child_offset, false);
      case MappingKind::kSpecial:
        result_.compressed = true;
        finish(/*zero=*/false);
        return absl::OkStatus();
      case MappingKind::kZero:
        result_.child = mapping->child;
        result_.child_offset = mapping->child_offset;
        finish(/*zero=*/true);
        return absl::OkStatus();
      case MappingKind::kUnallocated:
        if (mapping->child != nullptr) return enter(*mapping->child, range_.offset, true);
        finish(/*zero=*/true);
        return absl::OkStatus();
    }
    return errno_status(EIO, "the driver answered an unknown kind of mapping");
  }

  // Goes on in a child. Where that has ended: zeroes in a backing node; else bytes whose reading
  // will fail, which are not zeroes.
  absl::Status enter(const Child& child, uint64_t offset, bool is_backing) {
    if (entered_.size() + 1 >= kMaxWalk) return chain_too_long(*child.node);
    Node& node = *child.node;
    entered_.emplace_back(std::make_unique<NodeEntry>(node));
    const uint64_t size = node.size();
    if (offset >= size) {
      finish(/*zero=*/is_backing);
      return absl::OkStatus();
    }
    if (is_backing) ++result_.depth;
    node_ = &node;
    range_ = {offset, std::min(range_.length, size - offset)};
    return absl::OkStatus();
  }

  void finish(bool zero) {
    result_.length = range_.length;
    result_.zero = zero;
    result_.data = !zero;
    done_ = true;
  }

  // Filters and formats may lie between the nodes of a backing chain.
  static constexpr size_t kMaxWalk = 4 * kMaxChainLength;

  Node* node_;
  ByteRange range_;  // in node_
  absl::InlinedVector<std::unique_ptr<NodeEntry>, 4> entered_;
  BlockStatus result_;
  bool decided_ = false;
  bool has_data_ = false;  // the layer entered last maps it to its storage
  bool done_ = false;
};

}  // namespace

absl::StatusOr<BlockStatus> co_block_status(const Child& child, ByteRange range) {
  Node& node = *child.node;
  if (auto status = check_request("block status", child, range, 0); !status.ok()) return status;
  if (range.empty()) return BlockStatus{};
  const NodeEntry entry(node);
  if (auto status = check_bounds("block status", node, range); !status.ok()) return status;
  auto result = StatusWalk(node, range).co_run();
  if (!result.ok()) return describe(result.status(), "block status", node, range);
  return result;
}

}  // namespace penstock

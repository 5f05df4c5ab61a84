// SPDX-License-Identifier: Apache-2.0
#include "block/io/mapped_io.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "block/io/aligned_io.h"
#include "block/io/child_io.h"
#include "block/io/driver_access.h"
#include "block/io/node_entry.h"
#include "block/io/request_checks.h"

namespace penstock {
namespace {

// A backing node that a read has entered.
struct Layer {
  Layer(Node& layer_node, ByteRange range) IO_CODE : node(layer_node),
                                                     entry(layer_node),
                                                     ticket(layer_node.tracker, range),
                                                     left(range) {}

  Node& node;
  const NodeEntry entry;
  const RequestTracker::Ticket ticket;
  ByteRange left;  // still to be read here
  std::unique_ptr<Layer> above;
};

// One read: the first node's range, and the layers entered below it.
class MappedRead {
 public:
  MappedRead(Node& node, uint64_t offset, const IoVector& data)
      : node_(node), offset_(offset), data_(data), left_{offset, data.length()} {}
  MappedRead(const MappedRead&) = delete;
  MappedRead& operator=(const MappedRead&) = delete;
  ~MappedRead() {
    // One by one: a chain of owners would be destroyed recursively.
    while (lowest_ != nullptr) leave_layer();
  }

  absl::Status co_run() IO_CODE {
    while (true) {
      if (lowest_ != nullptr && lowest_->left.empty()) {
        leave_layer();
        continue;
      }
      if (lowest_ == nullptr && left_.empty()) return absl::OkStatus();
      Node& node = lowest_ != nullptr ? lowest_->node : node_;
      const ByteRange left = lowest_ != nullptr ? lowest_->left : left_;
      if (auto status = co_step(node, left); !status.ok()) {
        // The first node is named by the choke point.
        return lowest_ != nullptr ? describe(status, "read", node, left) : status;
      }
    }
  }

 private:
  IoVector piece(ByteRange range) const {
    return data_.slice(range.offset - offset_, range.length);
  }

  // Reads, or hands to a layer below, the first mapping of `range`.
  absl::Status co_step(Node& node, ByteRange range) IO_CODE {
    MappedIo& io = *node.driver->mapped_io();
    const auto mapping = DriverAccess::co_map(io, range, MapIntent::kRead);
    if (!mapping.ok()) return mapping.status();
    const ByteRange mapped = mapping->range;
    ByteRange& left = lowest_ != nullptr ? lowest_->left : left_;
    left = {mapped.end(), left.end() - mapped.end()};
    switch (mapping->kind) {
      case MappingKind::kData:
        return co_preadv(*mapping->child, mapping->child_offset, piece(mapped));
      case MappingKind::kSpecial:
        return DriverAccess::co_read_special(io, *mapping, piece(mapped));
      case MappingKind::kZero:
        piece(mapped).fill_zero();
        return absl::OkStatus();
      case MappingKind::kUnallocated:
        if (mapping->child != nullptr) return co_read_backing(*mapping->child, mapped);
        piece(mapped).fill_zero();
        return absl::OkStatus();
    }
    return errno_status(EIO, "the driver answered an unknown kind of mapping");
  }

  absl::Status co_read_backing(const Child& backing, ByteRange range) IO_CODE {
    if (auto status = check_request("read", backing, range, kConsistentRead); !status.ok()) {
      return status;
    }
    Node& node = *backing.node;
    const bool is_mapped =
        node.driver->mapped_io() != nullptr && node.limits.request_alignment == 1;
    std::unique_ptr<Layer> layer;
    if (is_mapped) {
      if (depth_ + 1 >= kMaxChainLength) return chain_too_long(node);
      layer = std::make_unique<Layer>(node, range);
    }
    // A shorter backing node ends in zeroes.
    const uint64_t size = node.size();
    const uint64_t there = range.offset < size ? std::min(range.length, size - range.offset) : 0;
    piece({range.offset + there, range.length - there}).fill_zero();
    const ByteRange present{range.offset, there};
    if (present.empty()) return absl::OkStatus();
    if (!is_mapped) return co_preadv(backing, present.offset, piece(present));
    layer->left = present;
    layer->above = std::move(lowest_);
    lowest_ = std::move(layer);
    ++depth_;
    return absl::OkStatus();
  }

  void leave_layer() {
    std::unique_ptr<Layer> above = std::move(lowest_->above);
    lowest_ = std::move(above);
    --depth_;
  }

  Node& node_;
  const uint64_t offset_;
  const IoVector& data_;
  ByteRange left_;
  std::unique_ptr<Layer> lowest_;
  unsigned depth_ = 0;
};

}  // namespace

absl::Status chain_too_long(const Node& node) {
  return errno_message(ELOOP, "the backing chain has more than " + std::to_string(kMaxChainLength) +
                                  " nodes at node '" + node.name +
                                  "'; commit or flatten some of them");
}

absl::Status co_read_mapped(Node& node, uint64_t offset, const IoVector& data) {
  return MappedRead(node, offset, data).co_run();
}

absl::Status co_write_mapped(Node& node, uint64_t offset, const IoVector& data) {
  MappedIo& io = *node.driver->mapped_io();
  for (uint64_t done = 0; done < data.length();) {
    const auto mapping =
        DriverAccess::co_map(io, {offset + done, data.length() - done}, MapIntent::kWrite);
    if (!mapping.ok()) return mapping.status();
    const IoVector piece = data.slice(done, mapping->range.length);
    const absl::Status status = mapping->kind == MappingKind::kData
                                    ? co_pwritev(*mapping->child, mapping->child_offset, piece)
                                    : DriverAccess::co_write_special(io, *mapping, piece);
    if (!status.ok()) return status;
    done += piece.length();
  }
  return absl::OkStatus();
}

absl::Status co_zero_mapped(Node& node, ByteRange range, RequestFlags flags) {
  MappedIo& io = *node.driver->mapped_io();
  while (!range.empty()) {
    const auto mapping = DriverAccess::co_map(io, range, MapIntent::kWrite);
    if (!mapping.ok()) return mapping.status();
    const ByteRange piece = mapping->range;
    if (mapping->kind == MappingKind::kData) {
      if (auto status = co_write_zeroes(*mapping->child, {mapping->child_offset, piece.length},
                                        flags & ~kFua);
          !status.ok()) {
        return status;
      }
    } else if ((flags & kNoFallback) != 0) {
      return errno_status(EOPNOTSUPP, "the driver can only write zeroes as data");
    } else if (auto status = co_write_zero_data(node, piece); !status.ok()) {
      return status;
    }
    range = {piece.end(), range.end() - piece.end()};
  }
  return absl::OkStatus();
}

absl::Status co_discard_mapped(Node& node, ByteRange range) {
  MappedIo& io = *node.driver->mapped_io();
  while (!range.empty()) {
    const auto mapping = DriverAccess::co_map(io, range, MapIntent::kLook);
    if (!mapping.ok()) return mapping.status();
    const ByteRange piece = mapping->range;
    if (mapping->kind == MappingKind::kData) {
      if (auto status = co_discard(*mapping->child, {mapping->child_offset, piece.length});
          !status.ok()) {
        return status;
      }
    }
    range = {piece.end(), range.end() - piece.end()};
  }
  return absl::OkStatus();
}

}  // namespace penstock

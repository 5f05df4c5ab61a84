// SPDX-License-Identifier: Apache-2.0
#include "block/io/aligned_io.h"

#include <algorithm>
#include <cstring>

#include "base/aligned_buffer.h"
#include "block/io/driver_access.h"
#include "block/io/mapped_io.h"
#include "block/io/write_ticket.h"

namespace penstock {
namespace {

constexpr uint64_t kMaxBounce = 1 << 20;

// Longest piece that the driver takes: a multiple of its alignment.
uint64_t piece_limit(const Limits& limits) {
  if (limits.max_transfer == 0) return UINT64_MAX;
  return std::max(align_down(limits.max_transfer, limits.request_alignment),
                  limits.request_alignment);
}

// What is copied at a time: a multiple of the alignment too.
uint64_t bounce_limit(const Limits& limits) {
  return std::max(limits.request_alignment, std::min(kMaxBounce, piece_limit(limits)));
}

size_t bounce_alignment(const Limits& limits) {
  return std::max({limits.memory_alignment, limits.request_alignment, uint64_t{16}});
}

absl::Status co_transfer_once(Node& node, uint64_t offset, const IoVector& data,
                              bool write) IO_CODE {
  if (DirectIo* const direct = node.driver->direct_io()) {
    return write ? DriverAccess::co_writev(*direct, offset, data)
                 : DriverAccess::co_readv(*direct, offset, data);
  }
  return write ? co_write_mapped(node, offset, data) : co_read_mapped(node, offset, data);
}

// An aligned range and aligned memory, however long.
absl::Status co_transfer(Node& node, uint64_t offset, const IoVector& data, bool write) IO_CODE {
  const uint64_t limit = piece_limit(node.limits);
  if (data.length() <= limit) [[likely]]
    return co_transfer_once(node, offset, data, write);
  for (uint64_t done = 0; done < data.length();) {
    const uint64_t length = std::min(limit, data.length() - done);
    if (auto status = co_transfer_once(node, offset + done, data.slice(done, length), write);
        !status.ok()) {
      return status;
    }
    done += length;
  }
  return absl::OkStatus();
}

absl::Status co_read_bounced(Node& node, uint64_t offset, const IoVector& data) IO_CODE {
  const ByteRange wanted{offset, data.length()};
  const ByteRange blocks = align_outwards(wanted, node.limits.request_alignment);
  const uint64_t limit = bounce_limit(node.limits);
  const AlignedBuffer bounce(std::min(limit, blocks.length), bounce_alignment(node.limits));
  for (uint64_t done = 0; done < blocks.length;) {
    const ByteRange piece{blocks.offset + done, std::min(limit, blocks.length - done)};
    const iovec memory{bounce.data(), piece.length};
    if (auto status = co_transfer(node, piece.offset, IoVector(memory), false); !status.ok()) {
      return status;
    }
    const ByteRange useful = intersect(piece, wanted);
    data.slice(useful.offset - offset, useful.length)
        .copy_from(std::span<const std::byte>(bounce.data() + (useful.offset - piece.offset),
                                              useful.length));
    done += piece.length;
  }
  return absl::OkStatus();
}

// The block at `at`, as it is now; what lies past the node's size is zero.
absl::Status co_read_block(Node& node, uint64_t at, std::span<std::byte> block) IO_CODE {
  const uint64_t size = node.size();
  const uint64_t there = at < size ? std::min<uint64_t>(size - at, block.size()) : 0;
  if (there > 0) {
    const iovec memory = iovec_of(block);
    if (auto status = co_transfer(node, at, IoVector(memory), false); !status.ok()) return status;
  }
  std::memset(block.data() + there, 0, block.size() - there);
  return absl::OkStatus();
}

// The reading half of a read-modify-write: the first and last block of `blocks` where `wanted`
// covers them in part. It has failed if one of its reads has.
absl::Status co_read_edges(Node& node, ByteRange wanted, ByteRange blocks,
                           std::span<std::byte> head, std::span<std::byte> tail) IO_CODE {
  const uint64_t alignment = node.limits.request_alignment;
  const uint64_t last = blocks.end() - alignment;
  const bool has_tail = wanted.end() != blocks.end();
  const bool one_block = last == blocks.offset;
  if (wanted.offset != blocks.offset || (one_block && has_tail)) {
    const ByteRange block{blocks.offset, alignment};
    if (auto status = node.driver->co_event("pwritev_rmw_head", block); !status.ok()) return status;
    if (auto status = co_read_block(node, block.offset, head); !status.ok()) return status;
    if (auto status = node.driver->co_event("pwritev_rmw_after_head", block); !status.ok()) {
      return status;
    }
  }
  if (has_tail && !one_block) {
    const ByteRange block{last, alignment};
    if (auto status = node.driver->co_event("pwritev_rmw_tail", block); !status.ok()) return status;
    if (auto status = co_read_block(node, block.offset, tail); !status.ok()) return status;
    if (auto status = node.driver->co_event("pwritev_rmw_after_tail", block); !status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

void copy_overlap(ByteRange piece, std::byte* memory, ByteRange source, const std::byte* bytes) {
  const ByteRange both = intersect(piece, source);
  if (both.empty()) return;
  std::memcpy(memory + (both.offset - piece.offset), bytes + (both.offset - source.offset),
              both.length);
}

absl::Status co_write_bounced(Node& node, uint64_t offset, const IoVector& data) IO_CODE {
  const uint64_t alignment = node.limits.request_alignment;
  const ByteRange wanted{offset, data.length()};
  const ByteRange blocks = align_outwards(wanted, alignment);
  const ByteRange head_range{blocks.offset, alignment};
  const ByteRange tail_range{blocks.end() - alignment, alignment};
  const bool unaligned = wanted != blocks;
  // Both edges are read before anything is written.
  AlignedBuffer edges;
  if (unaligned) {
    edges = AlignedBuffer(2 * alignment, bounce_alignment(node.limits));
    if (auto status = co_read_edges(node, wanted, blocks, edges.span().first(alignment),
                                    edges.span().subspan(alignment));
        !status.ok()) {
      return status;
    }
  }
  if (auto status = node.driver->co_event("pwritev", wanted); !status.ok()) return status;

  const uint64_t limit = bounce_limit(node.limits);
  const AlignedBuffer bounce(std::min(limit, blocks.length), bounce_alignment(node.limits));
  for (uint64_t done = 0; done < blocks.length;) {
    const ByteRange piece{blocks.offset + done, std::min(limit, blocks.length - done)};
    if (unaligned) {
      // An edge that was not read is covered by the data; a lone block is the head.
      if (tail_range.offset != head_range.offset) {
        copy_overlap(piece, bounce.data(), tail_range, edges.data() + alignment);
      }
      copy_overlap(piece, bounce.data(), head_range, edges.data());
    }
    const ByteRange useful = intersect(piece, wanted);
    data.slice(useful.offset - offset, useful.length)
        .copy_to(
            std::span<std::byte>(bounce.data() + (useful.offset - piece.offset), useful.length));
    const iovec memory{bounce.data(), piece.length};
    if (auto status = co_transfer(node, piece.offset, IoVector(memory), true); !status.ok()) {
      return status;
    }
    done += piece.length;
  }

  // The last block may have lengthened the storage past what the node then has. The ticket excludes
  // whoever would grow it at the same time.
  const uint64_t size = std::max(node.size(), wanted.end());
  Resizable* const resizable = node.driver->resizable();
  if (blocks.end() > size && resizable != nullptr) {
    if (auto status = DriverAccess::co_resize(*resizable, size); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status co_read_node(Node& node, uint64_t offset, const IoVector& data) {
  if (auto status = node.driver->co_event("readv", {offset, data.length()}); !status.ok()) {
    return status;
  }
  const Limits& limits = node.limits;
  if (is_unaligned(node, {offset, data.length()}) ||
      (limits.memory_alignment > 1 && !data.is_aligned_to(limits.memory_alignment))) {
    return co_read_bounced(node, offset, data);
  }
  return co_transfer(node, offset, data, false);
}

absl::Status co_write_node(Node& node, uint64_t offset, const IoVector& data) {
  const ByteRange range{offset, data.length()};
  const Limits& limits = node.limits;
  if (is_unaligned(node, range) ||
      (limits.memory_alignment > 1 && !data.is_aligned_to(limits.memory_alignment))) {
    if (auto status = co_write_bounced(node, offset, data); !status.ok()) return status;
  } else {
    if (auto status = node.driver->co_event("pwritev", range); !status.ok()) return status;
    if (auto status = co_transfer(node, offset, data, true); !status.ok()) return status;
  }
  return node.driver->co_event("pwritev_done", range);
}

absl::Status co_write_zero_data(Node& node, ByteRange range) {
  const uint64_t limit = bounce_limit(node.limits);
  const AlignedBuffer zeroes(std::min(limit, range.length), bounce_alignment(node.limits));
  std::memset(zeroes.data(), 0, zeroes.size());
  for (uint64_t at = range.offset; at < range.end();) {
    // Pieces end at multiples of the limit, so that only the outermost are unaligned.
    const uint64_t length = std::min(range.end(), (at / limit + 1) * limit) - at;
    const iovec memory{zeroes.data(), length};
    if (auto status = co_write_node(node, at, IoVector(memory)); !status.ok()) return status;
    at += length;
  }
  return absl::OkStatus();
}

}  // namespace penstock

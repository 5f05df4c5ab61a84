// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_snapshot_table.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/printable_text.h"
#include "base/status.h"
#include "block/io/child_io.h"
#include "block/node/node.h"
#include "drivers/qcow2/qcow2_geometry.h"

namespace penstock {
namespace {

constexpr size_t kFixedSize = 40;
// What is defined of the extra data: the sizes of the VM state and of the disk.
constexpr size_t kKnownExtraSize = 16;
constexpr size_t kBufferSize = 64 * 1024;

absl::Status damaged(const std::string& what) {
  return errno_message(EINVAL, "qcow2: " + what + "; the image is damaged.");
}

// Reads the table from its start to its end, in pieces.
class TableReader {
 public:
  TableReader(const Child& file, uint64_t start)
      : file_(file), start_(start), file_size_(file.node->size()) {}

  uint64_t bytes_taken() const { return taken_; }

  absl::Status co_take(std::span<std::byte> target) IO_CODE {
    while (!target.empty()) {
      if (const auto status = co_fill(); !status.ok()) return status;
      const uint64_t in_buffer = taken_ - buffer_begin_;
      const size_t count = std::min<uint64_t>(target.size(), buffered_ - in_buffer);
      std::copy_n(&buffer_[in_buffer], count, target.begin());
      taken_ += count;
      target = target.subspan(count);
    }
    return absl::OkStatus();
  }

  absl::Status co_take(std::string& target, size_t length) IO_CODE {
    target.resize(length);
    return co_take(std::as_writable_bytes(std::span(target)));
  }

  absl::Status skip(uint64_t length) {
    if (length > kQcow2MaxSnapshotTableSize - taken_) return too_large();
    taken_ += length;
    return absl::OkStatus();
  }

  absl::Status skip_padding() { return skip(align_up(taken_, 8) - taken_); }

 private:
  static absl::Status too_large() {
    return errno_message(EFBIG, "qcow2: the snapshot table has more than " +
                                    std::to_string(kQcow2MaxSnapshotTableSize) +
                                    " bytes; the image is damaged.");
  }

  // Sees to it that the byte at taken_ is in the buffer.
  absl::Status co_fill() IO_CODE {
    if (taken_ >= buffer_begin_ && taken_ - buffer_begin_ < buffered_) return absl::OkStatus();
    if (taken_ >= kQcow2MaxSnapshotTableSize) return too_large();
    const uint64_t offset = start_ + taken_;
    if (offset >= file_size_) {
      return errno_message(EIO, "qcow2: the file of " + std::to_string(file_size_) +
                                    " bytes ends inside the snapshot table; the image is damaged.");
    }
    if (buffer_ == nullptr) buffer_ = std::make_unique<std::byte[]>(kBufferSize);
    const size_t count =
        std::min<uint64_t>({kBufferSize, file_size_ - offset, kQcow2MaxSnapshotTableSize - taken_});
    const iovec segment = iovec_of(std::span(buffer_.get(), count));
    if (auto status = co_preadv(file_, offset, IoVector(segment)); !status.ok()) {
      return annotate(status, "reading the snapshot table");
    }
    buffer_begin_ = taken_;
    buffered_ = count;
    return absl::OkStatus();
  }

  const Child& file_;
  const uint64_t start_;  // bytes, in the file
  const uint64_t file_size_;
  uint64_t taken_ = 0;  // bytes from the table's start
  uint64_t buffer_begin_ = 0;
  size_t buffered_ = 0;
  std::unique_ptr<std::byte[]> buffer_;
};

absl::StatusOr<Qcow2Snapshot> co_read_entry(TableReader& reader,
                                            const Qcow2Header& header) IO_CODE {
  std::byte fixed[kFixedSize];
  if (auto status = reader.co_take(fixed); !status.ok()) return status;
  Qcow2Snapshot snapshot;
  ImageSnapshot& facts = snapshot.facts;
  snapshot.l1_offset = load_be64(&fixed[0]);
  snapshot.l1_entries = load_be32(&fixed[8]);
  const size_t id_size = load_be16(&fixed[12]);
  const size_t name_size = load_be16(&fixed[14]);
  facts.date_seconds = load_be32(&fixed[16]);
  facts.date_nanoseconds = load_be32(&fixed[20]);
  facts.vm_clock_nanoseconds = load_be64(&fixed[24]);
  facts.vm_state_size = load_be32(&fixed[32]);
  snapshot.extra_data_size = load_be32(&fixed[36]);

  std::byte extra[kKnownExtraSize];
  const size_t known = std::min<size_t>(snapshot.extra_data_size, kKnownExtraSize);
  if (auto status = reader.co_take(std::span(extra).first(known)); !status.ok()) return status;
  if (auto status = reader.skip(snapshot.extra_data_size - known); !status.ok()) return status;
  if (known >= 8) facts.vm_state_size = load_be64(&extra[0]);
  // Old images do not say it: the disk could not be resized while it had snapshots.
  facts.disk_size = known >= 16 ? load_be64(&extra[8]) : header.size;

  if (auto status = reader.co_take(facts.id, id_size); !status.ok()) return status;
  if (auto status = reader.co_take(facts.name, name_size); !status.ok()) return status;
  return snapshot;
}

}  // namespace

absl::StatusOr<uint64_t> co_walk_qcow2_snapshots(
    const Child& file, const Qcow2Header& header,
    const std::function<void(const Qcow2Snapshot&)>& see) {
  TableReader reader(file, header.snapshots_offset);
  for (uint32_t i = 0; i < header.snapshot_count; ++i) {
    if (auto status = reader.skip_padding(); !status.ok()) return status;
    const absl::StatusOr<Qcow2Snapshot> snapshot = co_read_entry(reader, header);
    if (!snapshot.ok()) return snapshot.status();
    see(*snapshot);
  }
  return reader.bytes_taken();
}

Qcow2Snapshot kept_qcow2_snapshot(const Qcow2Snapshot& snapshot) {
  Qcow2Snapshot kept = snapshot;
  // Anew, so that the memory of what is cut off goes.
  if (kept.facts.id.size() > kQcow2MaxKeptId) {
    kept.facts.id = snapshot.facts.id.substr(0, kQcow2MaxKeptId);
  }
  if (kept.facts.name.size() > kQcow2MaxKeptName) {
    kept.facts.name = snapshot.facts.name.substr(0, kQcow2MaxKeptName);
  }
  return kept;
}

absl::StatusOr<Qcow2SnapshotTable> co_read_qcow2_snapshots(const Child& file,
                                                           const Qcow2Header& header) {
  Qcow2SnapshotTable table;
  const auto size = co_walk_qcow2_snapshots(file, header, [&table](const Qcow2Snapshot& snapshot) {
    table.snapshots.push_back(kept_qcow2_snapshot(snapshot));
  });
  if (!size.ok()) return size.status();
  table.size = *size;
  return table;
}

absl::Status check_qcow2_snapshot(const Qcow2Header& header, const Qcow2Snapshot& snapshot,
                                  uint64_t file_size) {
  const std::string name = "snapshot '" + printable_text(snapshot.facts.name, kLongestQuote) + "'";
  const uint64_t l1_size = uint64_t{snapshot.l1_entries} * 8;
  if (l1_size > kQcow2MaxL1Size) {
    return errno_message(EFBIG, "qcow2: the L1 table of " + name + " has " +
                                    std::to_string(snapshot.l1_entries) + " entries, more than " +
                                    std::to_string(kQcow2MaxL1Size / 8) +
                                    "; the snapshot is damaged.");
  }
  const uint64_t offset = snapshot.l1_offset;
  const bool is_there = offset != 0 && offset < file_size && offset <= INT64_MAX - l1_size;
  if (!is_aligned(offset, header.cluster_size()) || (l1_size != 0 && !is_there)) {
    return damaged("the L1 table of " + name + " at offset " + std::to_string(offset) +
                   " cannot be there in a file of " + std::to_string(file_size) + " bytes");
  }
  Qcow2Geometry geometry;
  geometry.cluster_bits = header.cluster_bits;
  geometry.extended_l2 = header.has_incompatible(kQcow2ExtendedL2);
  if (snapshot.facts.disk_size > kQcow2MaxL1Size / 8 * geometry.bytes_per_l2_table()) {
    return damaged(name + " has a disk of " + std::to_string(snapshot.facts.disk_size) +
                   " bytes, more than any image can have");
  }
  return absl::OkStatus();
}

}  // namespace penstock

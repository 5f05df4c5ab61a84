// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/stored_refcounts.h"

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/status.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/qcow2_format.h"

namespace penstock {

StoredRefcounts::StoredRefcounts(const Child& file, const Qcow2Header& header)
    : header_(header),
      order_(static_cast<unsigned>(std::countr_zero(header.refcount_bits))),
      block_bits_(header.cluster_bits + 3 - order_),
      reader_(file),
      single_reader_(file) {}

absl::Status StoredRefcounts::co_load_table() {
  const uint64_t size = header_.refcount_table_clusters * header_.cluster_size();
  table_.reserve(size / sizeof(uint64_t));
  for (uint64_t done = 0; done < size;) {
    const auto piece = reader_.co_read(header_.refcount_table_offset + done, size - done);
    if (!piece.ok()) return piece.status();
    if (piece->bytes.empty()) {
      table_.resize(table_.size() + piece->size / sizeof(uint64_t), 0);
    }
    for (size_t at = 0; at < piece->bytes.size(); at += sizeof(uint64_t)) {
      table_.push_back(load_be64(&piece->bytes[at]));
    }
    done += piece->size;
  }
  return absl::OkStatus();
}

uint64_t StoredRefcounts::block_of(uint64_t cluster) const {
  const uint64_t index = cluster >> block_bits_;
  return index < table_.size() ? table_[index] & ~kQcow2RefcountTableReserved : 0;
}

bool StoredRefcounts::may_read(uint64_t cluster) const {
  return is_aligned(block_of(cluster), header_.cluster_size());
}

uint64_t StoredRefcounts::decode(const std::byte* block, uint64_t index) const {
  switch (order_) {
    case 3:
      return std::to_integer<uint64_t>(block[index]);
    case 4:
      return load_be16(block + index * sizeof(uint16_t));
    case 5:
      return load_be32(block + index * sizeof(uint32_t));
    case 6:
      return load_be64(block + index * sizeof(uint64_t));
    default: {
      // Several in a byte, the first in its lowest bits.
      const uint64_t bit = index << order_;
      const auto byte = std::to_integer<uint64_t>(block[bit / 8]);
      return (byte >> (bit % 8)) & ((uint64_t{1} << header_.refcount_bits) - 1);
    }
  }
}

uint64_t StoredRefcounts::value(const Run& run, uint64_t cluster) const {
  if (run.block == nullptr) return 0;
  return decode(run.block, run.index_in_block + (cluster - run.first));
}

void StoredRefcounts::co_for_each_run(uint64_t first, uint64_t end,
                                      const std::function<void(const Run&)>& visit) {
  while (first < end) {
    const uint64_t in_block = first & (clusters_per_block() - 1);
    Run run;
    run.first = first;
    run.count = std::min(end - first, clusters_per_block() - in_block);
    const uint64_t block = block_of(first);
    if (block != 0 && !may_read(first)) {
      run.status = errno_message(EIO, "its refcount block at " + hex(block) + " is not aligned");
    } else if (block != 0) {
      // From the 16 bytes that hold the first refcount on, a piece at a time.
      const uint64_t skipped = align_down((in_block << order_) / 8, 16);
      const uint64_t wanted = align_up((((in_block + run.count) << order_) + 7) / 8, 16) - skipped;
      const auto piece = reader_.co_read(block + skipped, wanted);
      const uint64_t got = piece.ok() ? piece->size : std::min(wanted, MetadataReader::kPieceSize);
      run.index_in_block = in_block - ((skipped * 8) >> order_);
      run.count = std::min(run.count, ((got * 8) >> order_) - run.index_in_block);
      if (!piece.ok()) {
        run.status = piece.status();
      } else if (!piece->bytes.empty()) {
        run.block = piece->bytes.data();
      }
    }
    visit(run);
    first += run.count;
  }
}

absl::StatusOr<uint64_t> StoredRefcounts::co_get(uint64_t cluster) {
  const uint64_t block = block_of(cluster);
  if (block == 0) return 0;
  if (!may_read(cluster)) {
    return errno_message(EIO, "its refcount block at " + hex(block) + " is not aligned");
  }
  const uint64_t index = cluster & (clusters_per_block() - 1);
  const uint64_t skipped = align_down((index << order_) / 8, 16);
  std::byte bytes[16];
  const auto status = single_reader_.co_read_all(block + skipped, bytes);
  if (!status.ok()) return status;
  return decode(bytes, index - ((skipped * 8) >> order_));
}

}  // namespace penstock

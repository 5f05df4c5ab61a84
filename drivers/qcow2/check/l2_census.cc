// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/l2_census.h"

#include <algorithm>

#include "base/big_endian.h"
#include "drivers/qcow2/qcow2_format.h"

namespace penstock {

const std::vector<L2Table>& L2Census::co_next(Visitor& visitor) {
  batch_.clear();
  if (complete_) return batch_;
  ceiling_ = UINT64_MAX;
  for (const L1Table& table : l1_) co_gather(table, visitor);
  compact();
  started_ = true;
  complete_ = ceiling_ == UINT64_MAX;
  if (!batch_.empty()) done_ = batch_.back().offset;
  return batch_;
}

void L2Census::co_gather(const L1Table& table, Visitor& visitor) {
  const uint64_t size = table.entries * sizeof(uint64_t);
  for (uint64_t done = 0; done < size;) {
    const auto piece = reader_.co_read(table.offset + done, size - done);
    if (!piece.ok()) {
      if (!started_) visitor.see_unreadable(table, piece.status());
      return;
    }
    for (size_t at = 0; at < piece->bytes.size(); at += sizeof(uint64_t)) {
      const uint64_t entry = load_be64(&piece->bytes[at]);
      if (entry == 0) continue;
      if (!started_) visitor.co_see_entry(table, (done + at) / sizeof(uint64_t), entry);
      note(entry & kQcow2OffsetMask, table);
    }
    done += piece->size;
  }
}

void L2Census::note(uint64_t offset, const L1Table& table) {
  if ((started_ && offset <= done_) || offset > ceiling_) return;
  if (batch_.empty() || batch_.back().offset != offset) {
    if (batch_.size() == 2 * kBatch) compact();
    if (offset > ceiling_) return;
    batch_.push_back({offset, 0, 0});
  }
  (table.active ? batch_.back().active : batch_.back().inactive) += table.times;
}

void L2Census::compact() {
  std::sort(batch_.begin(), batch_.end(),
            [](const L2Table& a, const L2Table& b) { return a.offset < b.offset; });
  size_t kept = 0;
  for (const L2Table& table : batch_) {
    if (kept > 0 && batch_[kept - 1].offset == table.offset) {
      batch_[kept - 1].active += table.active;
      batch_[kept - 1].inactive += table.inactive;
    } else {
      batch_[kept++] = table;
    }
  }
  batch_.resize(std::min(kept, kBatch));
  if (kept > kBatch) ceiling_ = batch_.back().offset;
}

}  // namespace penstock

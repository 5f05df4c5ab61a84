// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/check_pass.h"

#include <algorithm>

#include "base/byte_range.h"
#include "base/status.h"

namespace penstock {

CheckPass::CheckPass(const Qcow2Geometry& geometry, uint64_t file_size, StoredRefcounts& stored,
                     ReferenceCounts& counts, CheckReport& report)
    : geometry_(geometry),
      file_size_(file_size),
      clusters_((file_size >> geometry.cluster_bits) +
                (geometry.offset_in_cluster(file_size) != 0 ? 1 : 0)),
      stored_(stored),
      counts_(counts),
      report_(report) {}

void CheckPass::co_begin(uint64_t window) {
  is_first_ = windows_.empty();
  if (is_first_) {
    windows_.insert(window);
    note_stored_windows();
  }
  first_ = window * counts_.window_size();
  end_ = first_ + counts_.window_size();
  counts_.begin_window(first_);
  stored_.co_for_each_run(
      first_, std::min(end_, clusters_ + 1), [this](const StoredRefcounts::Run& run) {
        if (run.status.ok() && run.block == nullptr) return;
        for (uint64_t cluster = run.first; cluster < run.first + run.count; ++cluster) {
          if (!run.status.ok()) {
            counts_.set_unreadable(cluster);
          } else if (stored_.value(run, cluster) == 1) {
            counts_.set_stored_one(cluster);
          }
        }
      });
}

void CheckPass::note_stored_windows() {
  for (size_t index = 0; index < stored_.table_size(); ++index) {
    const uint64_t first = index * stored_.clusters_per_block();
    if (first >= clusters_) break;
    if (stored_.table_entry(index) == 0) continue;
    const uint64_t last = std::min(first + stored_.clusters_per_block(), clusters_) - 1;
    for (uint64_t at = first; at < last; at += counts_.window_size()) note_window(at);
    note_window(last);
  }
}

void CheckPass::note_window(uint64_t cluster) {
  const uint64_t window = cluster / counts_.window_size();
  if (window == last_noted_ || windows_.size() > kMaxWindows) return;
  windows_.insert(window);
  last_noted_ = window;
}

void CheckPass::refer(uint64_t offset, uint64_t length, uint64_t times, const char* what) {
  if (length == 0 || times == 0) return;
  const auto end = checked_add(offset, length);
  if (!end || *end - std::min(*end, file_size_) >= geometry_.cluster_size()) {
    if (!is_first_) return;
    report_.corruption(times, [&] {
      return std::string(what) + " at offset " + hex(offset) + " is outside of the file of " +
             counted(file_size_, "byte");
    });
    return;
  }
  const uint64_t first = offset >> geometry_.cluster_bits;
  const uint64_t last = (*end - 1) >> geometry_.cluster_bits;
  if (is_first_) {
    for (uint64_t at = first; at < last; at += counts_.window_size()) note_window(at);
    note_window(last);
    reaches_past_end_ |= last == clusters_;
  }
  for (uint64_t cluster = std::max(first, first_); cluster < std::min(last + 1, end_); ++cluster) {
    const uint64_t excess = counts_.add(cluster, times);
    report_.corruption(excess, [&] {
      return "cluster " + std::to_string(cluster) + " (offset " +
             hex(cluster << geometry_.cluster_bits) +
             ") has more references than a refcount of this image can hold";
    });
  }
}

CheckPass::Answer CheckPass::co_stored(uint64_t offset) {
  const uint64_t cluster = offset >> geometry_.cluster_bits;
  Answer answer;
  if (cluster <= clusters_) {
    if (cluster < first_ || cluster >= end_) return answer;
    answer.known = !counts_.unreadable(cluster);
    answer.one = counts_.stored_one(cluster);
  } else if (is_first_) {
    // Outside of the file, where no window goes.
    const auto refcount = stored_.co_get(cluster);
    answer.known = refcount.ok();
    answer.one = answer.known && *refcount == 1;
  }
  return answer;
}

void CheckPass::refer_to_refcount_blocks() {
  for (size_t index = 0; index < stored_.table_size(); ++index) {
    const uint64_t entry = stored_.table_entry(index);
    if (entry == 0) continue;
    const uint64_t offset = entry & ~kQcow2RefcountTableReserved;
    const uint64_t cluster = offset >> geometry_.cluster_bits;
    const char* wrong = nullptr;
    if (offset != entry) {
      wrong = "has reserved bits set";
    } else if (geometry_.offset_in_cluster(offset) != 0) {
      wrong = "is not aligned to a cluster";
    } else if (cluster >= clusters()) {
      wrong = "is outside of the file";
    }
    if (wrong != nullptr) {
      report_.corruption(is_first_ ? 1 : 0, [&] {
        return "refcount table entry " + std::to_string(index) + " (" + hex(entry) + ") " + wrong;
      });
      continue;
    }
    refer(offset, geometry_.cluster_size(), 1, "a refcount block");
    if (cluster < first_ || cluster >= end_ || counts_.get(cluster) == 1) continue;
    report_.corruption(1, [&] {
      return "refcount block " + std::to_string(index) + " at offset " + hex(offset) +
             " is in a cluster with " + counted(counts_.get(cluster), "reference");
    });
  }
}

void CheckPass::co_compare() {
  stored_.co_for_each_run(first_, std::min(end_, clusters()),
                          [this](const StoredRefcounts::Run& run) { compare(run); });
}

void CheckPass::compare(const StoredRefcounts::Run& run) {
  if (!run.status.ok()) {
    report_.check_error(run.count, [&] {
      return "the refcounts of " + counted(run.count, "cluster") + " from cluster " +
             std::to_string(run.first) + " on cannot be read: " + status_text(run.status);
    });
    return;
  }
  uint64_t& end_offset = report_.result().image_end_offset;
  for (uint64_t cluster = run.first; cluster < run.first + run.count; ++cluster) {
    const uint64_t stored = stored_.value(run, cluster);
    const uint64_t counted_now = counts_.get(cluster);
    if (stored == 0 && counted_now == 0) continue;
    end_offset = std::max(end_offset, (cluster + 1) << geometry_.cluster_bits);
    if (stored == counted_now || counts_.is_saturated(counted_now, stored)) continue;
    const auto text = [&] {
      return "cluster " + std::to_string(cluster) + " (offset " +
             hex(cluster << geometry_.cluster_bits) + "): refcount " + std::to_string(stored) +
             ", but " + counted(counted_now, "reference") +
             (stored > counted_now ? ": leaked" : "");
    };
    if (stored > counted_now) {
      report_.leak(text);
    } else {
      report_.corruption(1, text);
    }
  }
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/qcow2_check.h"

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/printable_text.h"
#include "base/status.h"
#include "block/node/node.h"
#include "drivers/qcow2/check/bitmap_walk.h"
#include "drivers/qcow2/check/check_pass.h"
#include "drivers/qcow2/check/check_report.h"
#include "drivers/qcow2/check/l2_census.h"
#include "drivers/qcow2/check/l2_walk.h"
#include "drivers/qcow2/check/reference_counts.h"
#include "drivers/qcow2/check/stored_refcounts.h"
#include "drivers/qcow2/qcow2_geometry.h"

namespace penstock {
namespace {

// 8 GiB of L1 tables; a disk of 2 TiB with 64 KiB clusters has 32 KiB of them a snapshot.
constexpr uint64_t kMaxL1Entries = uint64_t{1} << 30;
// L2 tables that are not aligned may overlap, so that the file does not bound their number.
constexpr unsigned kMaxUnalignedTables = 1024;
constexpr uint32_t kSnapshotExtraSize = 16;  // bytes, at least, in version 3

class Checker final : private L2Census::Visitor {
 public:
  Checker(const Child& file, const Qcow2Header& header, const Qcow2SnapshotTable& snapshots,
          uint64_t memory)
      : file_(file),
        header_(header),
        snapshots_(snapshots),
        geometry_(qcow2_geometry(header)),
        stored_(file, header),
        counts_(header.refcount_bits, (file.node->size() >> header.cluster_bits) + 2, memory),
        pass_(geometry_, file.node->size(), stored_, counts_, report_),
        walk_(file, geometry_, pass_, report_) {}

  absl::StatusOr<ImageCheck> co_run() IO_CODE {
    if (!snapshots_.damage.ok()) {
      // All clusters of snapshots would be called leaked, and a repair would drop them.
      return annotate(snapshots_.damage,
                      "reading the snapshot table at offset " + hex(header_.snapshots_offset));
    }
    if (auto read = stored_.co_load_table(); !read.ok()) {
      return annotate(read, "reading the refcount table");
    }
    if (auto listed = list_l1_tables(); !listed.ok()) return listed;
    report_.result().image_end_offset = geometry_.cluster_size();  // the header is always there
    report_.result().total_clusters = (header_.size >> header_.cluster_bits) +
                                      (geometry_.offset_in_cluster(header_.size) != 0 ? 1 : 0);

    co_run_pass(0);
    if (pass_.windows().size() > CheckPass::kMaxWindows) return too_large();
    for (const uint64_t window : pass_.windows()) {
      if (window != 0) co_run_pass(window);
    }
    return std::move(report_.result());
  }

 private:
  absl::Status too_large() const {
    return errno_message(EFBIG, "the file has too many clusters of " +
                                    std::to_string(geometry_.cluster_size()) +
                                    " bytes to be checked; convert the image to one with larger "
                                    "clusters.");
  }

  absl::Status list_l1_tables() {
    l1_.push_back({header_.l1_offset, header_.l1_entries, true, 1});
    uint64_t entries = 0;
    std::map<std::pair<uint64_t, uint32_t>, uint64_t> shared;
    if (geometry_.external_data && !snapshots_.snapshots.empty()) {
      report_.corruption(1, [] { return "an image with a data file has snapshots"; });
    }
    for (const Qcow2Snapshot& snapshot : snapshots_.snapshots) {
      if (header_.version >= 3 && snapshot.extra_data_size < kSnapshotExtraSize) {
        damaged(snapshot, "has no sizes of its disk and VM state");
      }
      if (geometry_.offset_in_cluster(snapshot.l1_offset) != 0) {
        damaged(snapshot, "has an L1 table that is not aligned to a cluster");
      } else if (snapshot.l1_entries > kQcow2MaxL1Size / sizeof(uint64_t)) {
        damaged(snapshot, "has an L1 table that is too large");
      } else if (++shared[{snapshot.l1_offset, snapshot.l1_entries}] == 1) {
        entries += snapshot.l1_entries;
      }
    }
    if (entries > kMaxL1Entries) {
      return errno_message(EFBIG, "the L1 tables of the snapshots have " + std::to_string(entries) +
                                      " entries, too many to be checked; the image is damaged.");
    }
    for (const auto& [table, times] : shared) {
      l1_.push_back({table.first, table.second, false, times});
    }
    return absl::OkStatus();
  }

  void damaged(const Qcow2Snapshot& snapshot, const char* what) {
    report_.corruption(1, [&] {
      return "snapshot '" + printable_text(snapshot.facts.id, kLongestQuote) + "' ('" +
             printable_text(snapshot.facts.name, kLongestQuote) + "') " + what;
    });
  }

  void co_run_pass(uint64_t window) IO_CODE {
    pass_.co_begin(window);
    pass_.refer(0, geometry_.cluster_size(), 1, "the header");
    for (const L1Table& table : l1_) {
      pass_.refer(table.offset, table.entries * sizeof(uint64_t), table.times, "an L1 table");
    }
    pass_.refer(header_.snapshots_offset, snapshots_.size, 1, "the snapshot table");
    pass_.refer(header_.refcount_table_offset,
                header_.refcount_table_clusters * geometry_.cluster_size(), 1,
                "the refcount table");
    co_walk_bitmaps();
    co_walk_l2_tables();
    pass_.refer_to_refcount_blocks();
    pass_.co_compare();
  }

  void co_walk_bitmaps() IO_CODE {
    co_walk_qcow2_bitmaps(file_, header_, geometry_, pass_, report_);
  }

  void co_walk_l2_tables() IO_CODE {
    const auto census = std::make_unique<L2Census>(file_, l1_);
    unsigned unaligned = 0;
    while (true) {
      const std::vector<L2Table>& batch = census->co_next(*this);
      if (batch.empty()) return;
      for (const L2Table& table : batch) {
        if (geometry_.offset_in_cluster(table.offset) != 0 && ++unaligned > kMaxUnalignedTables) {
          report_.check_error(pass_.is_first() ? 1 : 0, [&] {
            return "the L2 table at offset " + hex(table.offset) +
                   " is one of too many that are not aligned, and is not followed";
          });
          continue;
        }
        pass_.refer(table.offset, geometry_.cluster_size(), table.references(), "an L2 table");
        const bool check_copied = table.active != 0 && table.offset != 0 &&
                                  stored_.may_read(table.offset >> geometry_.cluster_bits);
        walk_.co_walk(table, check_copied);
      }
    }
  }

  void see_unreadable(const L1Table& table, const absl::Status& status) override {
    report_.check_error(pass_.is_first() ? 1 : 0, [&] {
      return "the L1 table at offset " + hex(table.offset) +
             " cannot be read: " + status_text(status);
    });
  }

  void co_see_entry(const L1Table& table, uint64_t index, uint64_t entry) IO_CODE override {
    const uint64_t offset = entry & kQcow2OffsetMask;
    const auto text = [&](const char* what) {
      return "entry " + std::to_string(index) + " (" + hex(entry) + ") of the L1 table at offset " +
             hex(table.offset) + " " + what;
    };
    if (pass_.is_first()) {
      if ((entry & kQcow2L1Reserved) != 0) {
        report_.corruption(table.times, [&] { return text("has reserved bits set"); });
      }
      if (geometry_.offset_in_cluster(offset) != 0) {
        report_.corruption(table.times,
                           [&] { return text("has an offset that is not aligned to a cluster"); });
      }
    }
    if (!table.active || offset == 0) return;
    const CheckPass::Answer stored = pass_.co_stored(offset);
    if (!stored.known || stored.one == ((entry & kQcow2Copied) != 0)) return;
    report_.corruption(1, [&] {
      return text(stored.one ? "lacks the copied flag, though the L2 table's refcount is 1"
                             : "has the copied flag, though the L2 table's refcount is not 1");
    });
  }

  const Child& file_;
  const Qcow2Header& header_;
  const Qcow2SnapshotTable& snapshots_;
  const Qcow2Geometry geometry_;
  std::vector<L1Table> l1_;
  CheckReport report_;
  StoredRefcounts stored_;
  ReferenceCounts counts_;
  CheckPass pass_;
  L2Walk walk_;
};

}  // namespace

absl::StatusOr<ImageCheck> co_check_qcow2(const Child& file, const Qcow2Header& header,
                                          const Qcow2SnapshotTable& snapshots, uint64_t memory) {
  return std::make_unique<Checker>(file, header, snapshots, memory)->co_run();
}

}  // namespace penstock

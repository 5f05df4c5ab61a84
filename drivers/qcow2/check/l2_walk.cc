// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/check/l2_walk.h"

#include "base/big_endian.h"
#include "base/status.h"

namespace penstock {

void L2Walk::co_walk(const L2Table& table, bool check_copied) {
  next_offset_ = 0;
  const unsigned words = geometry_.words_per_l2_entry();
  const uint64_t size = geometry_.cluster_size();
  for (uint64_t done = 0; done < size;) {
    const auto piece = reader_.co_read(table.offset + done, size - done);
    if (!piece.ok()) {
      report_.check_error(pass_.is_first() ? 1 : 0, [&] {
        return "the L2 table at offset " + hex(table.offset) +
               " cannot be read: " + status_text(piece.status());
      });
      return;
    }
    for (size_t at = 0; at < piece->bytes.size(); at += words * sizeof(uint64_t)) {
      Qcow2L2Entry entry;
      entry.descriptor = load_be64(&piece->bytes[at]);
      if (words == 2) entry.subclusters = load_be64(&piece->bytes[at + sizeof(uint64_t)]);
      if (entry.descriptor == 0 && entry.subclusters == 0) continue;
      co_look({table, (done + at) / (words * sizeof(uint64_t)), check_copied}, entry);
    }
    done += piece->size;
  }
}

void L2Walk::co_look(const Place& place, Qcow2L2Entry entry) {
  if ((entry.descriptor & kQcow2Compressed) != 0) return look_compressed(place, entry);

  const uint64_t references = place.table.references();
  if ((entry.descriptor & kQcow2L2Reserved) != 0) {
    corruption(place, references, entry, "has reserved bits set");
  }
  if ((entry.descriptor & kQcow2ZeroFlag) != 0 &&
      (geometry_.extended_l2 || geometry_.version < 3)) {
    corruption(place, references, entry,
               "has the zero flag, which this kind of image does not have");
  }
  // In an external data file offset 0 is a place like any other.
  const bool allocated = (entry.descriptor & kQcow2OffsetMask) != 0 ||
                         (geometry_.external_data && (entry.descriptor & kQcow2Copied) != 0 &&
                          (geometry_.extended_l2 || (entry.descriptor & kQcow2ZeroFlag) == 0));
  if (allocated) {
    co_look_allocated(place, entry);
  } else if (static_cast<uint32_t>(entry.subclusters) != 0) {
    corruption(place, references, entry, "has subclusters that are allocated nowhere");
  }
}

void L2Walk::look_compressed(const Place& place, Qcow2L2Entry entry) {
  const uint64_t references = place.table.references();
  if ((entry.descriptor & kQcow2Copied) != 0) {
    corruption(place, references, entry, "is compressed and has the copied flag");
  }
  if (geometry_.external_data) {
    corruption(place, references, entry, "is compressed in an image with a data file");
    return;
  }
  if (entry.subclusters != 0) {
    corruption(place, references, entry, "is compressed and has subclusters");
    return;
  }
  const Qcow2CompressedRange range = qcow2_compressed_range(geometry_, entry.descriptor);
  pass_.refer(range.offset, range.size, references, "a compressed cluster");
  if (!pass_.is_first()) return;
  ImageCheck& result = report_.result();
  result.allocated_clusters += place.table.active;
  result.compressed_clusters += place.table.active;
  // Neighbours share sectors, so that none of them is read as one piece with the next.
  result.fragmented_clusters += place.table.active;
}

void L2Walk::co_look_allocated(const Place& place, Qcow2L2Entry entry) {
  const uint64_t references = place.table.references();
  const uint64_t offset = entry.descriptor & kQcow2OffsetMask;
  if (((entry.subclusters >> 32) & entry.subclusters) != 0) {
    corruption(place, references, entry, "has subclusters that are both allocated and zero");
  }
  if (geometry_.offset_in_cluster(offset) != 0) {
    corruption(place, references, entry, "has an offset that is not aligned to a cluster");
  }
  if (pass_.is_first()) {
    ImageCheck& result = report_.result();
    result.allocated_clusters += place.table.active;
    if (next_offset_ != 0 && next_offset_ != offset) {
      result.fragmented_clusters += place.table.active;
    }
    next_offset_ = offset + geometry_.cluster_size();
  }
  if (!geometry_.external_data) {
    pass_.refer(offset, geometry_.cluster_size(), references, "a data cluster");
  }
  if (place.check_copied) co_check_copied(place, entry);
}

void L2Walk::co_check_copied(const Place& place, Qcow2L2Entry entry) {
  CheckPass::Answer stored;
  if (geometry_.external_data) {
    // Data there has no refcounts and no second user.
    stored = {pass_.is_first(), true};
  } else {
    stored = pass_.co_stored(entry.descriptor & kQcow2OffsetMask);
  }
  if (!stored.known || stored.one == ((entry.descriptor & kQcow2Copied) != 0)) return;
  report_.corruption(place.table.active, [&] {
    return "entry " + std::to_string(place.index) + " (" + hex(entry.descriptor) +
           ") of the L2 table at offset " + hex(place.table.offset) +
           (stored.one ? " lacks the copied flag, though the cluster's refcount is 1"
                       : " has the copied flag, though the cluster's refcount is not 1");
  });
}

void L2Walk::corruption(const Place& place, uint64_t count, Qcow2L2Entry entry, const char* what) {
  report_.corruption(pass_.is_first() ? count : 0, [&] {
    return "entry " + std::to_string(place.index) + " (" + hex(entry.descriptor) +
           ") of the L2 table at offset " + hex(place.table.offset) + " " + what;
  });
}

}  // namespace penstock

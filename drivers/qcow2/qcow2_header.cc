// SPDX-License-Identifier: Apache-2.0
#include "drivers/qcow2/qcow2_header.h"

#include <algorithm>
#include <cerrno>

#include "base/big_endian.h"
#include "base/byte_range.h"
#include "base/printable_text.h"
#include "base/status.h"
#include "drivers/qcow2/qcow2_format.h"
#include "drivers/qcow2/qcow2_geometry.h"
#include "drivers/qcow2/qcow2_header_extensions.h"

namespace penstock {
namespace {

constexpr size_t kFirstBytes = 24;

absl::Status refuse(int error_number, const std::string& what) {
  return errno_message(error_number, "qcow2: " + what + ".");
}
absl::Status damaged(const std::string& what) {
  return refuse(EINVAL, what + "; the image is damaged");
}

// "bit 5 ('new feature')", for each unknown bit.
std::string unknown_features(const Qcow2Header& header) {
  std::string text;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if (((header.incompatible_features & ~kQcow2KnownIncompatible) >> bit & 1) == 0) continue;
    if (!text.empty()) text += ", ";
    const auto named = std::find_if(
        header.feature_names.begin(), header.feature_names.end(),
        [bit](const Qcow2FeatureName& name) { return name.type == 0 && name.bit == bit; });
    text += named != header.feature_names.end() && !named->name.empty()
                ? "'" + printable_text(named->name, kLongestQuote) + "'"
                : "bit " + std::to_string(bit);
  }
  return text;
}

class HeaderParser {
 public:
  HeaderParser(std::span<const std::byte> head, uint64_t file_size, Qcow2LostTables lost_tables)
      : head_(head), file_size_(file_size), lost_tables_(lost_tables) {}

  absl::StatusOr<Qcow2Header> parse() {
    for (const auto step :
         {&HeaderParser::read_length, &HeaderParser::read_features, &HeaderParser::check_features,
          &HeaderParser::read_compression, &HeaderParser::read_l1, &HeaderParser::read_refcounts,
          &HeaderParser::read_snapshots, &HeaderParser::read_backing_name,
          &HeaderParser::read_extensions, &HeaderParser::check_data_file}) {
      if (auto status = (this->*step)(); !status.ok()) return status;
    }
    return std::move(header_);
  }

 private:
  uint32_t field32(size_t offset) const { return load_be32(&head_[offset]); }
  uint64_t field64(size_t offset) const { return load_be64(&head_[offset]); }
  uint64_t backing_offset() const { return field64(8); }

  absl::Status read_length() {
    header_.version = field32(4);
    header_.cluster_bits = field32(20);
    const bool is_old = header_.version == 2;
    if (head_.size() < (is_old ? kQcow2HeaderV2Length : kQcow2HeaderV3Length)) {
      return damaged("the file of " + std::to_string(file_size_) + " bytes ends inside the header");
    }
    header_.header_length = is_old ? kQcow2HeaderV2Length : field32(100);
    const uint32_t length = header_.header_length;
    if (length > head_.size() || (!is_old && (length < kQcow2HeaderV3Length || length % 8 != 0))) {
      return damaged("the header's length of " + std::to_string(length) + " bytes cannot be");
    }
    header_.size = field64(24);
    return absl::OkStatus();
  }

  absl::Status read_features() {
    if (header_.version == 2) return absl::OkStatus();
    header_.incompatible_features = field64(72);
    header_.compatible_features = field64(80);
    header_.autoclear_features = field64(88);
    const uint32_t order = field32(96);
    if (order > 6) {
      return damaged("the header's refcount_order is " + std::to_string(order) + ", more than 6");
    }
    header_.refcount_bits = 1U << order;
    return absl::OkStatus();
  }

  absl::Status check_features() {
    if ((header_.incompatible_features & ~kQcow2KnownIncompatible) != 0) {
      // An image of a newer format may break other rules: only the names are of interest.
      Qcow2Header names = header_;
      parse_qcow2_extensions(extensions(), names).IgnoreError();
      return refuse(ENOTSUP,
                    "the image uses features that are not known here: " + unknown_features(names) +
                        "; open it with the program that made it");
    }
    if (const uint32_t method = field32(32); method != 0) {
      return refuse(ENOTSUP,
                    "the image is encrypted (" +
                        (method == 1   ? std::string("AES")
                         : method == 2 ? std::string("LUKS")
                                       : "method " + std::to_string(method)) +
                        "), and encrypted images are not supported yet; decrypt it with 'qemu-img "
                        "convert' first");
    }
    if (header_.has_incompatible(kQcow2ExtendedL2) &&
        header_.cluster_bits < kQcow2MinExtendedL2ClusterBits) {
      return damaged("the image has extended L2 entries with clusters of " +
                     std::to_string(header_.cluster_size()) + " bytes, less than 16384");
    }
    return absl::OkStatus();
  }

  absl::Status read_compression() {
    const unsigned type = header_.header_length > 104 ? static_cast<unsigned>(head_[104]) : 0;
    const bool has_bit = header_.has_incompatible(kQcow2CompressionType);
    if (has_bit != (type != 0)) {
      return damaged("the compression type is " + std::to_string(type) +
                     ", but its feature bit is " + (has_bit ? "set" : "clear"));
    }
    if (type > static_cast<unsigned>(Qcow2Compression::kZstd)) {
      return refuse(ENOTSUP, "compression type " + std::to_string(type) +
                                 " is not known here; zlib (0) and zstd (1) are");
    }
    header_.compression = static_cast<Qcow2Compression>(type);
    return absl::OkStatus();
  }

  absl::Status read_l1() {
    header_.l1_entries = field32(36);
    header_.l1_offset = field64(40);
    const uint64_t bytes = uint64_t{header_.l1_entries} * 8;
    if (bytes > kQcow2MaxL1Size) {
      return refuse(EFBIG, "the L1 table has " + std::to_string(header_.l1_entries) +
                               " entries, more than " + std::to_string(kQcow2MaxL1Size / 8));
    }
    if (auto status = check_table("L1 table", header_.l1_offset, bytes); !status.ok())
      return status;
    Qcow2Geometry geometry;
    geometry.cluster_bits = header_.cluster_bits;
    geometry.extended_l2 = header_.has_incompatible(kQcow2ExtendedL2);
    const uint64_t covered = header_.l1_entries * geometry.bytes_per_l2_table();
    if (covered < header_.size) {
      return damaged("the L1 table covers " + std::to_string(covered) + " of the disk's " +
                     std::to_string(header_.size) + " bytes");
    }
    return absl::OkStatus();
  }

  absl::Status read_refcounts() {
    header_.refcount_table_offset = field64(48);
    header_.refcount_table_clusters = field32(56);
    const uint64_t bytes = header_.refcount_table_clusters * header_.cluster_size();
    if (bytes == 0 && lost_tables_ == Qcow2LostTables::kRefuse) {
      return damaged("the image has no refcount table");
    }
    if (bytes > kQcow2MaxRefcountTableSize) {
      return refuse(EFBIG, "the refcount table has " + std::to_string(bytes) +
                               " bytes, more than " + std::to_string(kQcow2MaxRefcountTableSize));
    }
    return check_table("refcount table", header_.refcount_table_offset, bytes);
  }

  absl::Status read_snapshots() {
    header_.snapshot_count = field32(60);
    header_.snapshots_offset = field64(64);
    if (header_.snapshot_count > kQcow2MaxSnapshots) {
      return refuse(EFBIG, "the header counts " + std::to_string(header_.snapshot_count) +
                               " snapshots, more than " + std::to_string(kQcow2MaxSnapshots));
    }
    if (header_.snapshot_count == 0) return absl::OkStatus();
    // One that is cut off does not keep the disk from being read.
    return check_table("snapshot table", header_.snapshots_offset, kQcow2MaxSnapshotTableSize,
                       INT64_MAX);
  }

  absl::Status read_backing_name() {
    const uint64_t offset = backing_offset();
    if (offset == 0) return absl::OkStatus();
    const uint32_t length = field32(16);
    if (length > kQcow2MaxBackingNameLength) {
      return damaged("the backing file's name has " + std::to_string(length) +
                     " bytes, more than " + std::to_string(kQcow2MaxBackingNameLength));
    }
    if (offset < header_.header_length || offset > head_.size() || length > head_.size() - offset) {
      return damaged("the backing file's name at offset " + std::to_string(offset) + " of " +
                     std::to_string(length) + " bytes is not between the header and the end of " +
                     "the first cluster");
    }
    auto name = qcow2_string(head_.subspan(offset, length), "the backing file's name");
    if (!name.ok()) return name.status();
    header_.backing_name = *std::move(name);
    return absl::OkStatus();
  }

  absl::Status read_extensions() { return parse_qcow2_extensions(extensions(), header_); }

  absl::Status check_data_file() {
    if (!header_.has_incompatible(kQcow2ExternalDataFile)) {
      header_.data_file_name.clear();
      return absl::OkStatus();
    }
    if ((header_.autoclear_features & kQcow2DataFileRaw) != 0 && !header_.backing_name.empty()) {
      return damaged("the image has a raw external data file and a backing file, which exclude " +
                     std::string("each other"));
    }
    return absl::OkStatus();
  }

  std::span<const std::byte> extensions() const {
    uint64_t end = head_.size();
    if (backing_offset() != 0) end = std::min(end, backing_offset());
    if (end <= header_.header_length) return {};
    return head_.subspan(header_.header_length, end - header_.header_length);
  }

  // Tables that the file ends in are usual: a new image ends in its L1 table.
  absl::Status check_table(const std::string& name, uint64_t offset, uint64_t bytes) const {
    return check_table(name, offset, bytes, file_size_);
  }

  absl::Status check_table(const std::string& name, uint64_t offset, uint64_t bytes,
                           uint64_t file_size) const {
    if (!is_aligned(offset, header_.cluster_size())) {
      return damaged("the " + name + "'s offset " + std::to_string(offset) +
                     " is not that of a cluster");
    }
    if (bytes == 0) return absl::OkStatus();
    const bool is_lost = offset == 0 || offset >= file_size;
    if (is_lost && lost_tables_ == Qcow2LostTables::kAccept && offset <= INT64_MAX - bytes) {
      return absl::OkStatus();
    }
    if (offset == 0) return damaged("the " + name + " lies in the header");
    if (is_lost || offset > INT64_MAX - bytes) {
      return damaged("the " + name + " at offset " + std::to_string(offset) +
                     " begins past the end of the file of " + std::to_string(file_size_) +
                     " bytes");
    }
    return absl::OkStatus();
  }

  const std::span<const std::byte> head_;
  const uint64_t file_size_;
  const Qcow2LostTables lost_tables_;
  Qcow2Header header_;
};

}  // namespace

absl::StatusOr<uint64_t> qcow2_head_size(std::span<const std::byte> first_bytes,
                                         uint64_t file_size) {
  if (first_bytes.size() < kFirstBytes || load_be32(&first_bytes[0]) != kQcow2Magic) {
    return refuse(EINVAL, "this is no qcow2 image: its header does not begin with 'QFI\\xfb'");
  }
  const uint32_t version = load_be32(&first_bytes[4]);
  if (version != 2 && version != 3) {
    return refuse(ENOTSUP,
                  "the image's version is " + std::to_string(version) + "; 2 and 3 are supported");
  }
  const uint32_t cluster_bits = load_be32(&first_bytes[20]);
  if (cluster_bits < kQcow2MinClusterBits || cluster_bits > kQcow2MaxClusterBits) {
    return refuse(EINVAL, "the header's cluster_bits is " + std::to_string(cluster_bits) +
                              "; 9 to 21 are supported (clusters of 512 bytes to 2 MiB)");
  }
  return std::min(uint64_t{1} << cluster_bits, file_size);
}

absl::StatusOr<Qcow2Header> parse_qcow2_header(std::span<const std::byte> head, uint64_t file_size,
                                               Qcow2LostTables lost_tables) {
  const auto size = qcow2_head_size(head, file_size);
  if (!size.ok()) return size.status();
  return HeaderParser(head.first(std::min<uint64_t>(*size, head.size())), file_size, lost_tables)
      .parse();
}

Qcow2Geometry qcow2_geometry(const Qcow2Header& header) {
  Qcow2Geometry geometry;
  geometry.cluster_bits = header.cluster_bits;
  geometry.extended_l2 = header.has_incompatible(kQcow2ExtendedL2);
  geometry.external_data = header.has_incompatible(kQcow2ExternalDataFile);
  geometry.version = header.version;
  return geometry;
}

}  // namespace penstock

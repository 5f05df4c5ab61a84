// SPDX-License-Identifier: Apache-2.0
#include "tests/drivers/qcow2/built_image.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include "tests/drivers/qcow2/compress_cluster.h"
#include "tests/drivers/test_files.h"

namespace penstock {
namespace {

using Damage = ImageField::Damage;

// Table 0 has all kinds of clusters, table 1 a few, table 2 is absent.
constexpr uint32_t kL1Entries = 3;
constexpr uint64_t kTailOfDisk = 512;  // bytes of the last cluster

class Builder {
 public:
  explicit Builder(const ImagePlan& plan) {
    image_.plan = plan;
    Qcow2Geometry& geometry = image_.geometry;
    geometry.cluster_bits = plan.cluster_bits;
    geometry.extended_l2 = plan.extended_l2;
    geometry.external_data = plan.data_file;
    geometry.version = plan.version;
    cluster_ = geometry.cluster_size();
    image_.size = 2 * geometry.bytes_per_l2_table() + cluster_ + kTailOfDisk;
  }

  BuiltImage build() {
    if (image_.plan.backing) image_.backing = pattern(9 * cluster_ + cluster_ / 2, 99);
    allocate(1);  // header
    refcount_table_ = allocate(1);
    refcount_block_ = allocate(1);
    l1_ = allocate(1);
    image_.bytes.resize(cluster_ * 4);
    build_disk();
    if (image_.plan.snapshots) build_snapshots();
    build_header();
    build_refcounts();
    add_borders();
    return std::move(image_);
  }

 private:
  const ImagePlan& plan() const { return image_.plan; }

  uint64_t allocate(uint64_t clusters) {
    const uint64_t offset = next_;
    next_ += clusters * cluster_;
    if (image_.bytes.size() < next_) image_.bytes.resize(next_);
    for (uint64_t at = offset; at < next_; at += cluster_) ++references_[at / cluster_];
    return offset;
  }

  void put(uint64_t offset, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) {
      image_.bytes[offset + i] = static_cast<std::byte>(value >> (8 * (size - 1 - i)));
    }
  }
  void put_bytes(uint64_t offset, std::span<const std::byte> bytes) {
    std::copy(bytes.begin(), bytes.end(), image_.bytes.begin() + static_cast<ptrdiff_t>(offset));
  }
  void put_text(uint64_t offset, const std::string& text) {
    put_bytes(offset, std::as_bytes(std::span(text)));
  }
  void put_field(const std::string& name, uint64_t offset, uint64_t value, unsigned size,
                 Damage damage, uint64_t index = 0) {
    put(offset, value, size);
    image_.fields.push_back({name, offset, size, damage, index});
  }

  uint64_t l2_entry_offset(uint64_t table, uint64_t guest_cluster) const {
    const uint64_t guest = guest_cluster * cluster_;
    return table + image_.geometry.l2_index(guest) * image_.geometry.words_per_l2_entry() * 8;
  }

  // The bytes of a guest cluster that this image says nothing about.
  Bytes below(uint64_t guest_cluster) const {
    Bytes bytes(cluster_);
    const uint64_t offset = guest_cluster * cluster_;
    if (offset < image_.backing.size()) {
      const uint64_t length = std::min(cluster_, image_.backing.size() - offset);
      std::copy_n(image_.backing.begin() + static_cast<ptrdiff_t>(offset), length, bytes.begin());
    }
    return bytes;
  }

  void know(std::vector<KnownCluster>& list, uint64_t guest_cluster, Bytes bytes, uint64_t reach) {
    const uint64_t offset = guest_cluster * cluster_;
    if (offset + bytes.size() > image_.size) bytes.resize(image_.size - offset);
    list.push_back({guest_cluster, std::move(bytes), reach});
  }

  struct Table {
    std::string name;
    uint64_t offset = 0;  // of the L2 table
    uint64_t reach = 0;   // L1 entry and table
    bool of_snapshot = false;
  };

  void put_entry(const Table& table, uint64_t guest_cluster, uint64_t descriptor,
                 uint64_t bitmap = 0) {
    const uint64_t at = l2_entry_offset(table.offset, guest_cluster);
    const std::string name = table.name + " entry of cluster " + std::to_string(guest_cluster);
    const Damage damage = table.of_snapshot ? Damage::kNothingOpens : Damage::kCluster;
    put_field(name, at, descriptor, 8, damage, guest_cluster);
    if (image_.geometry.extended_l2) {
      put_field(name + " (bitmap)", at + 8, bitmap, 8, damage, guest_cluster);
    }
  }

  std::vector<KnownCluster>& list_of(const Table& table) {
    return table.of_snapshot ? image_.snapshot_clusters : image_.clusters;
  }

  // Where a cluster's data goes, and up to where the image must be there for it.
  uint64_t store_data(uint64_t guest_cluster, const Bytes& bytes, uint64_t* reach) {
    if (plan().data_file) {
      const uint64_t offset = guest_cluster * cluster_;
      if (image_.data_file.size() < offset + cluster_) image_.data_file.resize(offset + cluster_);
      std::copy(bytes.begin(), bytes.end(),
                image_.data_file.begin() + static_cast<ptrdiff_t>(offset));
      return offset;
    }
    const uint64_t offset = allocate(1);
    put_bytes(offset, bytes);
    *reach = std::max(*reach, offset + cluster_);
    return offset;
  }

  void add_data(const Table& table, uint64_t guest_cluster) {
    Bytes bytes = pattern(cluster_, 1000 + guest_cluster + (table.of_snapshot ? 500 : 0));
    uint64_t reach = table.reach;
    const uint64_t offset = store_data(guest_cluster, bytes, &reach);
    put_entry(table, guest_cluster, offset | kQcow2Copied, 0xffffffff);
    know(list_of(table), guest_cluster, std::move(bytes), reach);
  }

  // Subclusters that are data, zero and neither, by turns.
  void add_mixed(const Table& table, uint64_t guest_cluster) {
    const Bytes data = pattern(cluster_, 2000 + guest_cluster);
    Bytes bytes = below(guest_cluster);
    uint64_t reach = table.reach;
    const uint64_t offset = store_data(guest_cluster, data, &reach);
    const uint64_t subcluster = image_.geometry.subcluster_size();
    uint64_t bitmap = 0;
    for (unsigned i = 0; i < kQcow2SubclustersPerCluster; ++i) {
      const auto begin = static_cast<ptrdiff_t>(i * subcluster);
      if (i % 3 == 0) {
        bitmap |= uint64_t{1} << i;
        std::copy_n(data.begin() + begin, subcluster, bytes.begin() + begin);
      } else if (i % 3 == 1) {
        bitmap |= uint64_t{1} << (32 + i);
        std::fill_n(bytes.begin() + begin, subcluster, std::byte{0});
      }
    }
    put_entry(table, guest_cluster, offset | kQcow2Copied, bitmap);
    know(list_of(table), guest_cluster, std::move(bytes), reach);
  }

  void add_zero(const Table& table, uint64_t guest_cluster) {
    if (image_.geometry.extended_l2) {
      put_entry(table, guest_cluster, 0, uint64_t{0xffffffff} << 32);
    } else if (plan().version >= 3) {
      put_entry(table, guest_cluster, kQcow2ZeroFlag);
    } else {
      return add_absent(table, guest_cluster);
    }
    know(list_of(table), guest_cluster, Bytes(cluster_), table.reach);
  }

  void add_absent(const Table& table, uint64_t guest_cluster) {
    put_entry(table, guest_cluster, 0);
    know(list_of(table), guest_cluster, below(guest_cluster), table.reach);
  }

  void add_compressed(const Table& table, uint64_t guest_cluster) {
    if (!plan().compressed || plan().data_file) return add_data(table, guest_cluster);
    Bytes bytes = compressible(cluster_, 3000 + guest_cluster);
    const Bytes packed = compress(plan().compression, bytes);
    // Clusters share a host cluster where refcounts can count that.
    const bool fits = plan().refcount_order > 0 && compressed_end_ != 0 &&
                      compressed_end_ % cluster_ + packed.size() <= cluster_ &&
                      compressed_end_ % cluster_ != 0 &&
                      references_[compressed_end_ / cluster_] < 3;
    if (fits) {
      ++references_[compressed_end_ / cluster_];
    } else {
      compressed_end_ = allocate(1);
    }
    const uint64_t offset = compressed_end_;
    compressed_end_ += packed.size();
    put_bytes(offset, packed);
    put_entry(table, guest_cluster,
              compressed_descriptor(image_.geometry, offset, packed.size()) | kQcow2Compressed);
    know(list_of(table), guest_cluster, std::move(bytes),
         std::max(table.reach, align_up_to_cluster(compressed_end_)));
  }

  uint64_t align_up_to_cluster(uint64_t offset) const {
    return (offset + cluster_ - 1) & ~(cluster_ - 1);
  }

  Table add_table(uint64_t l1, uint64_t l1_index, const std::string& name, bool of_snapshot) {
    Table table;
    table.name = name;
    table.offset = allocate(1);
    table.of_snapshot = of_snapshot;
    table.reach = std::max(l1 + kL1Entries * 8, table.offset + cluster_);
    put_field(of_snapshot ? "snapshot's L1 entry" : "L1 entry", l1 + l1_index * 8,
              table.offset | kQcow2Copied, 8, of_snapshot ? Damage::kNothingOpens : Damage::kTable,
              l1_index);
    return table;
  }

  void build_disk() {
    const uint64_t per_table = image_.geometry.bytes_per_l2_table() >> plan().cluster_bits;
    const Table first = add_table(l1_, 0, "first L2", false);
    add_data(first, 0);
    add_data(first, 1);
    add_zero(first, 2);
    plan().extended_l2 ? add_mixed(first, 3) : add_zero(first, 3);
    add_compressed(first, 4);
    add_compressed(first, 5);
    add_absent(first, 6);
    add_data(first, 8);
    add_data(first, 7);
    add_absent(first, 9);
    add_compressed(first, per_table - 1);

    const Table second = add_table(l1_, 1, "second L2", false);
    add_data(second, per_table);
    add_compressed(second, per_table + 2);
    add_absent(second, per_table + 3);

    put_field("absent L1 entry", l1_ + 16, 0, 8, Damage::kTable, 2);
    know(image_.clusters, 2 * per_table, below(2 * per_table), l1_ + kL1Entries * 8);
    know(image_.clusters, 2 * per_table + 1, below(2 * per_table + 1), l1_ + kL1Entries * 8);
    std::sort(image_.clusters.begin(), image_.clusters.end(),
              [](const auto& a, const auto& b) { return a.index < b.index; });
  }

  // Two snapshots; only the first has a table below its L1.
  void build_snapshots() {
    const uint64_t l1 = allocate(1);
    const uint64_t empty_l1 = allocate(1);
    const Table table = add_table(l1, 0, "snapshot's L2", true);
    add_data(table, 0);
    add_zero(table, 1);
    add_data(table, 7);
    snapshots_ = allocate(1);
    uint64_t at = put_snapshot(snapshots_, l1, "1", "first");
    at = put_snapshot(at, empty_l1, "2", "second one");
    snapshots_end_ = at;
  }

  uint64_t put_snapshot(uint64_t at, uint64_t l1, const std::string& id, const std::string& name) {
    constexpr unsigned kExtra = 16;
    constexpr Damage kDamage = Damage::kNothing;
    const std::string prefix = "snapshot " + id + ": ";
    put_field(prefix + "L1 offset", at, l1, 8, kDamage);
    put_field(prefix + "L1 entries", at + 8, kL1Entries, 4, kDamage);
    put_field(prefix + "length of the id", at + 12, id.size(), 2, kDamage);
    put_field(prefix + "length of the name", at + 14, name.size(), 2, kDamage);
    put_field(prefix + "seconds", at + 16, 1'600'000'000, 4, kDamage);
    put_field(prefix + "nanoseconds", at + 20, 5, 4, kDamage);
    put_field(prefix + "clock", at + 24, 7, 8, kDamage);
    put_field(prefix + "size of the machine's state", at + 32, 0, 4, kDamage);
    put_field(prefix + "size of extra data", at + 36, kExtra, 4, kDamage);
    put_field(prefix + "large size of the machine's state", at + 40, 0, 8, kDamage);
    put_field(prefix + "disk size", at + 48, image_.size, 8, kDamage);
    put_text(at + 40 + kExtra, id);
    put_text(at + 40 + kExtra + id.size(), name);
    return (at + 40 + kExtra + id.size() + name.size() + 7) & ~uint64_t{7};
  }

  uint64_t incompatible_features() const {
    uint64_t features = 0;
    if (plan().data_file) features |= kQcow2ExternalDataFile;
    if (plan().compression != Qcow2Compression::kZlib) features |= kQcow2CompressionType;
    if (plan().extended_l2) features |= kQcow2ExtendedL2;
    return features;
  }

  void build_header() {
    const bool v3 = plan().version >= 3;
    const std::string backing_name = plan().backing ? "base.raw" : "";
    const uint64_t extensions = v3 ? 112 : kQcow2HeaderV2Length;
    const uint64_t extensions_end = put_extensions(extensions);

    put_field("magic", 0, kQcow2Magic, 4, Damage::kAnything);
    put_field("version", 4, plan().version, 4, Damage::kAnything);
    put_field("offset of the backing name", 8, plan().backing ? extensions_end : 0, 8,
              Damage::kAnything);
    put_field("length of the backing name", 16, backing_name.size(), 4, Damage::kAnything);
    put_field("cluster bits", 20, plan().cluster_bits, 4, Damage::kAnything);
    put_field("size", 24, image_.size, 8, Damage::kAnything);
    put_field("encryption", 32, 0, 4, Damage::kAnything);
    put_field("L1 entries", 36, kL1Entries, 4, Damage::kNothing);
    put_field("L1 offset", 40, l1_, 8, Damage::kAnything);
    put_field("refcount table offset", 48, refcount_table_, 8, Damage::kNothing);
    put_field("refcount table clusters", 56, 1, 4, Damage::kNothing);
    put_field("number of snapshots", 60, plan().snapshots ? 2 : 0, 4, Damage::kNothing);
    put_field("snapshots offset", 64, snapshots_, 8, Damage::kNothing);
    if (v3) {
      put_field("incompatible features", 72, incompatible_features(), 8, Damage::kAnything);
      put_field("compatible features", 80, 0, 8, Damage::kNothing);
      put_field("autoclear features", 88, 0, 8, Damage::kNothing);
      put_field("refcount order", 96, plan().refcount_order, 4, Damage::kNothing);
      put_field("header length", 100, 112, 4, Damage::kAnything);
      put_field("compression type", 104, static_cast<uint64_t>(plan().compression), 1,
                Damage::kAnything);
    }
    put_text(extensions_end, backing_name);
    header_end_ = extensions_end + backing_name.size();
  }

  uint64_t put_extension(uint64_t at, const char* name, uint32_t type, const std::string& content) {
    put_field(std::string(name) + " extension: type", at, type, 4, Damage::kAnything);
    put_field(std::string(name) + " extension: length", at + 4, content.size(), 4,
              Damage::kAnything);
    put_text(at + 8, content);
    return at + 8 + ((content.size() + 7) & ~uint64_t{7});
  }

  uint64_t put_extensions(uint64_t at) {
    constexpr uint32_t kUnknown = 0x12345678;
    if (plan().backing)
      at = put_extension(at, "backing format", kQcow2ExtensionBackingFormat, plan().backing_format);
    if (plan().data_file) at = put_extension(at, "data file", kQcow2ExtensionDataFile, "data.raw");
    if (plan().version >= 3) {
      std::string dirty(48, '\0');
      dirty.replace(2, 9, "dirty bit");
      at = put_extension(at, "feature name", kQcow2ExtensionFeatureNames, dirty);
    }
    at = put_extension(at, "unknown", kUnknown, "whatever");
    return put_extension(at, "last", kQcow2ExtensionEnd, "");
  }

  void build_refcounts() {
    // Not read when the disk is.
    put_field("refcount table entry", refcount_table_, refcount_block_, 8, Damage::kNothingOpens);
    const unsigned bits = 1U << plan().refcount_order;
    for (const auto& [cluster, count] : references_) {
      if (bits >= 8) {
        put(refcount_block_ + cluster * (bits / 8), count, bits / 8);
      } else {
        const unsigned per_byte = 8 / bits;
        image_.bytes[refcount_block_ + cluster / per_byte] |=
            static_cast<std::byte>(count << (cluster % per_byte * bits));
      }
    }
    image_.fields.push_back({"refcounts", refcount_block_, 8, Damage::kNothingOpens, 0});
  }

  void add_borders() {
    image_.borders = {0, header_end_, refcount_table_, refcount_block_, l1_, l1_ + kL1Entries * 8};
    for (uint64_t at = l1_ + cluster_; at <= next_; at += cluster_) image_.borders.push_back(at);
    if (plan().snapshots) {
      image_.borders.push_back(snapshots_ + 40);
      image_.borders.push_back(snapshots_end_);
    }
    for (const uint64_t word : {24, 72, 104, 112}) image_.borders.push_back(word);
    std::sort(image_.borders.begin(), image_.borders.end());
  }

  BuiltImage image_;
  uint64_t cluster_ = 0;  // bytes
  uint64_t next_ = 0;     // the file's end
  std::map<uint64_t, uint64_t> references_;
  uint64_t refcount_table_ = 0;
  uint64_t refcount_block_ = 0;
  uint64_t l1_ = 0;
  uint64_t snapshots_ = 0;
  uint64_t snapshots_end_ = 0;
  uint64_t header_end_ = 0;
  uint64_t compressed_end_ = 0;
};

}  // namespace

BuiltImage build_image(const ImagePlan& plan) { return Builder(plan).build(); }

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <blkid/blkid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <utility>

#include "base/byte_range.h"
#include "base/status.h"
#include "control/partition_table.h"

namespace penstock {
namespace {

constexpr uint32_t kSectorSizes[] = {512, 4096};
constexpr uint64_t kUnit = 512;  // bytes: libblkid's, whatever the sector size
// What libblkid calls a protective MBR without a GPT behind it.
constexpr char kProtectiveMbr[] = "PMBR";

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

std::string text_or_empty(const char* text) { return text == nullptr ? "" : text; }

std::string value_of(blkid_probe probe, const char* name) {
  const char* data = nullptr;
  size_t size = 0;  // bytes, with the zero at the end
  if (blkid_probe_lookup_value(probe, name, &data, &size) != 0 || size == 0) return {};
  return std::string(data, size - 1);
}

// The whole file if `length` is 0.
absl::StatusOr<Probe> make_probe(int fd, uint64_t offset, uint64_t length, uint32_t sector_size) {
  Probe probe(blkid_new_probe());
  if (probe == nullptr) return errno_status(ENOMEM, "cannot look for partitions");
  if (blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(offset),
                             static_cast<blkid_loff_t>(length)) != 0) {
    return errno_status(errno != 0 ? errno : EIO, "cannot look for partitions");
  }
  blkid_probe_set_sectorsize(probe.get(), sector_size);
  return probe;
}

ContentFacts probe_content(int fd, uint64_t offset, uint64_t length, uint32_t sector_size) {
  ContentFacts content;
  const absl::StatusOr<Probe> probe = make_probe(fd, offset, length, sector_size);
  if (!probe.ok()) return content;
  blkid_probe_enable_superblocks(probe->get(), 1);
  blkid_probe_set_superblocks_flags(probe->get(), BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
                                                      BLKID_SUBLKS_UUID | BLKID_SUBLKS_USAGE);
  // Other than 0: nothing is known, or several answers contradict each other.
  if (blkid_do_safeprobe(probe->get()) != 0) return content;
  content.type = value_of(probe->get(), "TYPE");
  content.usage = value_of(probe->get(), "USAGE");
  content.label = value_of(probe->get(), "LABEL");
  content.uuid = value_of(probe->get(), "UUID");
  return content;
}

std::string type_of(blkid_partition entry) {
  if (const char* type = blkid_partition_get_type_string(entry)) return type;
  char text[16];
  snprintf(text, sizeof text, "0x%x", static_cast<unsigned>(blkid_partition_get_type(entry)));
  return text;
}

// Nothing for an entry that cannot be a file: a container, or a place that no disk has.
std::optional<Partition> read_entry(blkid_partition entry) {
  if (blkid_partition_is_extended(entry)) return std::nullopt;
  const int number = blkid_partition_get_partno(entry);
  const blkid_loff_t start = blkid_partition_get_start(entry);
  const blkid_loff_t size = blkid_partition_get_size(entry);
  if (number <= 0 || start < 0 || size <= 0) return std::nullopt;
  const std::optional<uint64_t> offset = checked_multiply(static_cast<uint64_t>(start), kUnit);
  const std::optional<uint64_t> length = checked_multiply(static_cast<uint64_t>(size), kUnit);
  if (!offset || !length || !make_range(*offset, *length)) return std::nullopt;

  Partition partition;
  partition.number = static_cast<unsigned>(number);
  partition.offset = *offset;
  partition.length = *length;
  partition.type = type_of(entry);
  partition.name = text_or_empty(blkid_partition_get_name(entry));
  partition.uuid = text_or_empty(blkid_partition_get_uuid(entry));
  return partition;
}

// The table that is found with this sector size; nothing if none is.
absl::StatusOr<std::optional<PartitionTable>> read_table(int fd, uint32_t sector_size) {
  const absl::StatusOr<Probe> probe = make_probe(fd, 0, 0, sector_size);
  if (!probe.ok()) return probe.status();
  blkid_probe_enable_superblocks(probe->get(), 0);
  blkid_probe_enable_partitions(probe->get(), 1);
  const blkid_partlist list = blkid_probe_get_partitions(probe->get());
  if (list == nullptr) return std::nullopt;
  const blkid_parttable found = blkid_partlist_get_table(list);
  if (found == nullptr) return std::nullopt;

  PartitionTable table;
  table.type = text_or_empty(blkid_parttable_get_type(found));
  table.sector_size = sector_size;
  if (table.type == kProtectiveMbr) return std::nullopt;
  const int count = blkid_partlist_numof_partitions(list);
  for (int i = 0; i < count; ++i) {
    std::optional<Partition> partition = read_entry(blkid_partlist_get_partition(list, i));
    if (partition) table.partitions.push_back(std::move(*partition));
  }
  return table;
}

}  // namespace

absl::StatusOr<PartitionTable> probe_partitions(int fd, uint32_t sector_size) {
  struct stat facts;
  if (::fstat(fd, &facts) != 0) return errno_status(errno, "cannot look for partitions");
  // The size of a block device is not in its attributes.
  const off_t end = S_ISBLK(facts.st_mode) ? ::lseek(fd, 0, SEEK_END) : facts.st_size;
  if (end < 0) return errno_status(errno, "cannot look for partitions");
  const auto size = static_cast<uint64_t>(end);
  if (size == 0) return PartitionTable();

  for (const uint32_t tried : kSectorSizes) {
    if (sector_size != 0 && tried != sector_size) continue;
    absl::StatusOr<std::optional<PartitionTable>> found = read_table(fd, tried);
    if (!found.ok()) return found.status();
    if (!*found) continue;
    PartitionTable table = std::move(**found);
    confine_partitions(table, size);
    for (Partition& partition : table.partitions) {
      partition.content = probe_content(fd, partition.offset, partition.length, tried);
    }
    return table;
  }
  PartitionTable none;
  none.content = probe_content(fd, 0, 0, sector_size == 0 ? 512 : sector_size);
  return none;
}

}  // namespace penstock

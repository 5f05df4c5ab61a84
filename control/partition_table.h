// SPDX-License-Identifier: Apache-2.0
// The partitions of a disk and what libblkid says about them.
//
// libblkid reads from a file descriptor, and the bytes come from an untrusted image: so it runs in
// a process of its own (partition_probe.h), and the answer passes between them as JSON.
//
// Ownership: values.
// Threads: probe_partitions blocks; the rest is pure.
// Errors: errno of reading; EINVAL for JSON that is no partition table.
// Invariants: after confine_partitions every partition lies within the disk, is not empty, and
//   numbers are unique. Labels are as libblkid gives them: any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "nlohmann/json.hpp"

namespace penstock {

// What is in a partition, or in a disk without a table. Empty strings: not known.
struct ContentFacts {
  std::string type;   // "ext4", "vfat", "crypto_LUKS", ...
  std::string usage;  // "filesystem", "crypto", "raid" (of which it is a member), "other"
  std::string label;
  std::string uuid;
};

struct Partition {
  unsigned number = 0;  // as in p1: logical ones from 5 on
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;  // bytes
  std::string type;     // GUID or "0x83"
  std::string name;     // GPT
  std::string uuid;     // the partition's own
  ContentFacts content;
};

struct PartitionTable {
  std::string type;          // "gpt", "dos", ...; empty: none
  uint32_t sector_size = 0;  // bytes
  std::vector<Partition> partitions;
  ContentFacts content;  // of the whole disk, if there is no table
};

// `sector_size` in bytes: 512, 4096, or 0 to try both. Containers of logical partitions are left
// out.
absl::StatusOr<PartitionTable> probe_partitions(int fd, uint32_t sector_size) BLOCKING_CODE;

// Makes the invariants hold for a disk of `disk_size` bytes, whoever made the table: partitions
// that begin past its end, are empty, or have a number that is taken already are removed; those
// that end past its end are cut there, as the kernel does.
void confine_partitions(PartitionTable& table, uint64_t disk_size);

// Strings hold printable ASCII only; other bytes and the backslash are written \xNN, so that any
// bytes pass unchanged.
nlohmann::json partition_table_to_json(const PartitionTable& table);
absl::StatusOr<PartitionTable> partition_table_from_json(const nlohmann::json& json);

}  // namespace penstock

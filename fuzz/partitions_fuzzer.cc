// SPDX-License-Identifier: Apache-2.0
// control/partition_table.h with any bytes as a disk, and its JSON with what comes out of it.
//
// Input: the disk; its last byte says which sector size is asked for.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <set>

#include "base/unique_fd.h"
#include "control/partition_table.h"
#include "fuzz/expect.h"

using penstock::expect;
using penstock::PartitionTable;
using penstock::UniqueFd;

namespace {

const UniqueFd& disk() {
  static const UniqueFd fd(memfd_create("fuzzed-disk", MFD_CLOEXEC));
  return fd;
}

void check_promises(const PartitionTable& table, uint64_t disk_size) {
  std::set<unsigned> numbers;
  for (const penstock::Partition& partition : table.partitions) {
    expect(partition.length > 0, "a partition is not empty");
    expect(partition.offset <= disk_size && partition.length <= disk_size - partition.offset,
           "a partition lies within its disk");
    expect(numbers.insert(partition.number).second, "numbers of partitions are unique");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint64_t disk_size = size - 1;
  expect(ftruncate(disk().get(), 0) == 0 &&
             ftruncate(disk().get(), static_cast<off_t>(disk_size)) == 0 &&
             pwrite(disk().get(), data, disk_size, 0) == static_cast<ssize_t>(disk_size),
         "the disk can be made");
  constexpr uint32_t kSectorSizes[] = {0, 512, 4096};
  const auto table = penstock::probe_partitions(disk().get(), kSectorSizes[data[size - 1] % 3]);
  if (!table.ok()) return 0;
  check_promises(*table, disk_size);

  // The answer goes to the server as text, whatever bytes a label has.
  const std::string text = penstock::partition_table_to_json(*table).dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  const auto again =
      penstock::partition_table_from_json(nlohmann::json::parse(text, nullptr, false));
  expect(again.ok(), "a table that was written as JSON can be read");
  expect(again->partitions.size() == table->partitions.size(), "JSON keeps every partition");
  check_promises(*again, disk_size);
  return 0;
}

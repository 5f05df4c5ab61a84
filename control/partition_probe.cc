// SPDX-License-Identifier: Apache-2.0
#include "control/partition_probe.h"

#include <cerrno>
#include <vector>

#include "base/status.h"
#include "control/run_program.h"
#include "iothreads/thread_pool.h"

namespace penstock {
namespace {

constexpr ProgramLimits kLimits{.output = 1 << 20, .time = std::chrono::seconds(5)};

absl::StatusOr<PartitionTable> probe(const std::string& path, uint32_t sector_size) {
  // This very program, even if its file has been replaced since.
  const absl::StatusOr<ProgramResult> result = run_program(
      {"/proc/self/exe", "probe-partitions", "--sector-size=" + std::to_string(sector_size), path},
      kLimits);
  if (!result.ok()) return result.status();
  if (result->exit_status != 0) {
    return errno_message(EIO, "its process ended with status " +
                                  std::to_string(result->exit_status) + ": " + result->output);
  }
  const nlohmann::json answer = nlohmann::json::parse(result->output, nullptr, false);
  return partition_table_from_json(answer);
}

}  // namespace

absl::StatusOr<PartitionTable> co_probe_in_process(const std::string& path, uint64_t disk_size,
                                                   uint32_t sector_size) {
  absl::StatusOr<PartitionTable> table =
      ThreadPool::shared().co_run([&] { return probe(path, sector_size); });
  if (table.ok()) confine_partitions(*table, disk_size);
  return table;
}

}  // namespace penstock

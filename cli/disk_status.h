// SPDX-License-Identifier: Apache-2.0
// What `penstock status` knows about one disk at one moment, and between two.
//
// Ownership: values.
// Threads: pure, but for read_disk_status().
// Errors: those of the server.
// Invariants: rates are of two samples of one disk; counters that went backwards have none.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/thread_roles.h"
#include "cli/latency.h"
#include "control/target.h"
#include "nlohmann/json.hpp"

namespace penstock {

// In the order in which they are shown, with QEMU's words for them.
inline constexpr std::array<const char*, 4> kRequestWords = {"rd", "wr", "unmap", "flush"};
inline constexpr size_t kFlushRequests = 3;  // index: they have no bytes

struct RequestCounters {
  uint64_t operations = 0;
  uint64_t bytes = 0;
  uint64_t failed = 0;
  uint64_t time = 0;  // nanoseconds, all together
  std::optional<Histogram> latencies;
};

struct DiskStatus {
  std::string socket;
  pid_t pid = 0;
  ExportView shown;
  std::string image;
  std::string format;
  bool writable = false;
  uint64_t size = 0;                    // bytes
  std::vector<std::string> engines;     // of its iothreads, each once
  std::vector<nlohmann::json> filters;  // {"node-name", "driver"}
  std::vector<nlohmann::json> jobs;     // as query-jobs tells them
  std::string device;                   // as query-blockstats calls it
  nlohmann::json stats;                 // as told; null if it has none
  std::array<RequestCounters, 4> counters;
  std::chrono::steady_clock::time_point taken_at;
};

struct RequestRates {
  double operations = 0;         // a second
  double bytes = 0;              // a second
  uint64_t failed = 0;           // since the sample before
  std::optional<uint64_t> mean;  // nanoseconds
  std::optional<uint64_t> p99;
};

struct DiskRates {
  double seconds = 0;
  std::array<RequestRates, 4> of;
};

RequestCounters parse_request_counters(const nlohmann::json& stats, const std::string& word);

// Nothing if they are not two samples of one disk.
std::optional<DiskRates> rates_between(const DiskStatus& before, const DiskStatus& after);

// All disks of a server whose exports are wanted.
absl::StatusOr<std::vector<DiskStatus>> read_disk_status(
    Server& server, const std::vector<std::string>& export_ids) BLOCKING_CODE;

nlohmann::ordered_json disk_status_json(const DiskStatus& disk,
                                        const std::optional<DiskRates>& rates);
std::string disk_status_text(const DiskStatus& disk, const std::optional<DiskRates>& rates);

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include "cli/disk_status.h"

#include <algorithm>
#include <utility>

#include "control/qmp/json_fields.h"
#include "control/qmp/qmp_command.h"

namespace penstock {
namespace {

using nlohmann::json;

std::optional<Histogram> parse_histogram(const json& stats, const std::string& word) {
  const auto found = stats.find(word + "_latency_histogram");
  if (found == stats.end()) return std::nullopt;
  Histogram histogram;
  for (const auto& [key, numbers] :
       {std::pair("boundaries", &histogram.boundaries), std::pair("bins", &histogram.bins)}) {
    for (const json& each : list_field(*found, key)) {
      if (!each.is_number_unsigned()) return std::nullopt;
      numbers->push_back(each.get<uint64_t>());
    }
  }
  return histogram;
}

// A command that older servers lack: an empty list then.
absl::StatusOr<json> execute_if_there(QmpClient& client, const char* command) BLOCKING_CODE;
absl::StatusOr<json> execute_if_there(QmpClient& client, const char* command) {
  absl::StatusOr<json> answer = client.execute(command, json::object());
  if (!answer.ok() && qmp_error_class(answer.status()) == "CommandNotFound") return json::array();
  return answer;
}

// The job holds one of these nodes.
bool works_on(const ServerView& view, const std::string& job,
              const std::vector<std::string>& nodes) {
  return std::any_of(view.edges.begin(), view.edges.end(), [&](const EdgeView& edge) {
    const bool is_its = edge.user == job || edge.user == "job " + job;
    return is_its && std::find(nodes.begin(), nodes.end(), edge.child) != nodes.end();
  });
}

DiskStatus describe(const Server& server, const ExportView& shown, const json& jobs) {
  const ServerView& view = server.view;
  DiskStatus disk;
  disk.socket = server.client.path();
  disk.pid = view.pid;
  disk.shown = shown;
  disk.image = image_of(view, shown.node);
  if (const NodeView* const format = view.format_below(shown.node)) disk.format = format->driver;
  if (const NodeView* const root = view.find_node(shown.node)) disk.size = root->size;
  disk.writable = is_writable(view, shown);
  for (const IoThreadView& thread : view.iothreads) {
    const auto& ids = shown.iothreads;
    if (std::find(ids.begin(), ids.end(), thread.id) == ids.end()) continue;
    if (std::find(disk.engines.begin(), disk.engines.end(), thread.engine) != disk.engines.end()) {
      continue;
    }
    disk.engines.push_back(thread.engine);
  }
  for (const NodeView* filter : view.filters_at(shown.node)) {
    disk.filters.push_back({{"node-name", filter->name}, {"driver", filter->driver}});
  }
  const std::vector<std::string> nodes = view.subtree(shown.node);
  for (const json& job : jobs) {
    if (works_on(view, text_field(job, "id"), nodes)) disk.jobs.push_back(job);
  }
  if (const EdgeView* const edge = view.edge_of(shown)) disk.device = edge->user;
  return disk;
}

}  // namespace

RequestCounters parse_request_counters(const json& stats, const std::string& word) {
  RequestCounters counters;
  counters.operations = number_field(stats, (word + "_operations").c_str());
  counters.bytes = number_field(stats, (word + "_bytes").c_str());
  counters.failed = number_field(stats, ("failed_" + word + "_operations").c_str());
  counters.time = number_field(stats, (word + "_total_time_ns").c_str());
  counters.latencies = parse_histogram(stats, word);
  return counters;
}

std::optional<DiskRates> rates_between(const DiskStatus& before, const DiskStatus& after) {
  if (before.socket != after.socket || before.pid != after.pid ||
      before.shown.id != after.shown.id || before.device != after.device) {
    return std::nullopt;
  }
  DiskRates rates;
  rates.seconds = std::chrono::duration<double>(after.taken_at - before.taken_at).count();
  if (rates.seconds <= 0) return std::nullopt;
  for (size_t i = 0; i < rates.of.size(); ++i) {
    const RequestCounters& old = before.counters[i];
    const RequestCounters& now = after.counters[i];
    if (now.operations < old.operations || now.bytes < old.bytes || now.failed < old.failed ||
        now.time < old.time) {
      return std::nullopt;  // another export of this name
    }
    const uint64_t operations = now.operations - old.operations;
    const uint64_t all = operations + now.failed - old.failed;
    RequestRates& of = rates.of[i];
    of.operations = static_cast<double>(operations) / rates.seconds;
    of.bytes = static_cast<double>(now.bytes - old.bytes) / rates.seconds;
    of.failed = now.failed - old.failed;
    if (all != 0 && now.time != old.time) of.mean = (now.time - old.time) / all;
    if (!old.latencies || !now.latencies) continue;
    if (const auto between = histogram_between(*old.latencies, *now.latencies)) {
      of.p99 = percentile(*between, 0.99);
    }
  }
  return rates;
}

absl::StatusOr<std::vector<DiskStatus>> read_disk_status(
    Server& server, const std::vector<std::string>& export_ids) {
  const auto stats = server.client.execute("query-blockstats", json::object());
  const auto taken_at = std::chrono::steady_clock::now();
  if (!stats.ok()) return stats.status();
  const absl::StatusOr<json> jobs = execute_if_there(server.client, "query-jobs");
  if (!jobs.ok()) return jobs.status();
  std::vector<DiskStatus> disks;
  for (const std::string& id : export_ids) {
    const ExportView* const shown = server.view.find_export(id);
    if (shown == nullptr) continue;
    DiskStatus disk = describe(server, *shown, *jobs);
    disk.taken_at = taken_at;
    for (const json& entry : *stats) {
      if (disk.device.empty() || text_field(entry, "device") != disk.device) continue;
      const auto found = entry.find("stats");
      if (found == entry.end() || !found->is_object()) continue;
      disk.stats = *found;
      for (size_t i = 0; i < disk.counters.size(); ++i) {
        disk.counters[i] = parse_request_counters(disk.stats, kRequestWords[i]);
      }
    }
    disks.push_back(std::move(disk));
  }
  return disks;
}

}  // namespace penstock

// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/printable_text.h"
#include "cli/disk_status.h"
#include "cli/text_table.h"
#include "control/image_info_text.h"
#include "control/qmp/json_fields.h"

namespace penstock {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMargin = 2;
constexpr std::array<const char*, 4> kRequestNames = {"reads", "writes", "discards", "flushes"};

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + printable_text(word);
  return text;
}

// A few digits: "0", "3.2", "1234".
std::string rate_text(double rate) {
  char text[32];
  std::snprintf(text, sizeof text, rate != 0 && rate < 9.95 ? "%.1f" : "%.0f", rate);
  return text;
}

std::string optional_latency(const std::optional<uint64_t>& nanoseconds) {
  return nanoseconds ? latency_text(*nanoseconds) : "-";
}

std::string filters_text(const DiskStatus& disk) {
  std::vector<std::string> words;
  for (const json& filter : disk.filters) {
    words.push_back(text_field(filter, "node-name") + " (" + text_field(filter, "driver") + ")");
  }
  return joined(words);
}

std::string job_text(const json& job) {
  const uint64_t done = number_field(job, "current-progress");
  const uint64_t all = number_field(job, "total-progress");
  std::string text =
      text_field(job, "id") + " (" + text_field(job, "type") + ", " + text_field(job, "status");
  if (all != 0) {
    const double part = static_cast<double>(done) / static_cast<double>(all);
    text += ", " + std::to_string(std::lround(100 * part)) + " %";
  }
  return text + ")";
}

std::string requests_text(const DiskStatus& disk, const std::optional<DiskRates>& rates) {
  TextTable table(rates ? "lrrrrrrr" : "lrrr");
  std::vector<std::string> head = {"", "requests", "bytes", "failed"};
  if (rates) {
    for (const char* column : {"per s", "bytes/s", "mean", "99 %"}) head.emplace_back(column);
  }
  table.add(std::move(head));
  for (size_t i = 0; i < disk.counters.size(); ++i) {
    const RequestCounters& of = disk.counters[i];
    const bool has_bytes = i != kFlushRequests;
    std::vector<std::string> row = {kRequestNames[i], std::to_string(of.operations),
                                    has_bytes ? readable_size(of.bytes) : "",
                                    std::to_string(of.failed)};
    if (rates) {
      const RequestRates& now = rates->of[i];
      row.push_back(rate_text(now.operations));
      row.push_back(has_bytes ? readable_size(static_cast<uint64_t>(now.bytes)) : "");
      row.push_back(optional_latency(now.mean));
      row.push_back(optional_latency(now.p99));
    }
    table.add(std::move(row));
  }
  return table.text(kMargin);
}

ordered_json rates_json(const DiskRates& rates) {
  ordered_json result = {{"seconds", rates.seconds}};
  for (size_t i = 0; i < rates.of.size(); ++i) {
    const RequestRates& of = rates.of[i];
    ordered_json each = {{"operations-per-second", of.operations}};
    if (i != kFlushRequests) each["bytes-per-second"] = of.bytes;
    each["failed"] = of.failed;
    each["mean-ns"] = of.mean ? ordered_json(*of.mean) : ordered_json();
    each["p99-ns"] = of.p99 ? ordered_json(*of.p99) : ordered_json();
    result[kRequestWords[i]] = std::move(each);
  }
  return result;
}

}  // namespace

std::string disk_status_text(const DiskStatus& disk, const std::optional<DiskRates>& rates) {
  TextTable facts("ll");
  facts.add({"image", printable_text(disk.image.empty() ? "-" : disk.image)});
  facts.add({"format", printable_text(disk.format) + ", " +
                           (disk.writable ? "writable" : "read-only") + ", " +
                           readable_size(disk.size) + (disk.shown.ending ? ", ending" : "")});
  facts.add({"server", "PID " + std::to_string(disk.pid) + ", export " +
                           printable_text(disk.shown.id) + " of node " +
                           printable_text(disk.shown.node)});
  facts.add({"iothreads", joined(disk.shown.iothreads) +
                              (disk.engines.empty() ? "" : " (" + joined(disk.engines) + ")")});
  if (!disk.filters.empty()) facts.add({"filters", filters_text(disk)});
  for (const json& job : disk.jobs) facts.add({"job", printable_text(job_text(job))});
  return printable_text(disk.shown.mount_point) + "\n" + facts.text(kMargin) +
         requests_text(disk, rates);
}

ordered_json disk_status_json(const DiskStatus& disk, const std::optional<DiskRates>& rates) {
  ordered_json facts;
  facts["image"] = disk.image;
  facts["format"] = disk.format;
  facts["mode"] = disk.writable ? "rw" : "ro";
  facts["virtual-size"] = disk.size;
  facts["mount-point"] = disk.shown.mount_point;
  facts["pid"] = disk.pid;
  facts["socket"] = disk.socket;
  facts["export"] = disk.shown.id;
  facts["node-name"] = disk.shown.node;
  facts["shutting-down"] = disk.shown.ending;
  facts["iothreads"] = disk.shown.iothreads;
  facts["engines"] = disk.engines;
  facts["filters"] = disk.filters;
  facts["jobs"] = disk.jobs;
  facts["stats"] = disk.stats;
  if (rates) facts["rates"] = rates_json(*rates);
  return facts;
}

}  // namespace penstock

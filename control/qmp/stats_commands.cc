// SPDX-License-Identifier: Apache-2.0
#include "control/qmp/stats_commands.h"

#include <cerrno>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "control/block_stats.h"
#include "control/daemon_state.h"

namespace penstock {
namespace {

using Boundaries = std::optional<std::vector<uint64_t>>;

absl::StatusOr<nlohmann::json> co_query_blockstats(Daemon& daemon, const nlohmann::json& arguments)
    CONTROL_COROUTINE_CODE;
absl::StatusOr<nlohmann::json> co_query_blockstats(Daemon& daemon,
                                                   const nlohmann::json& arguments) {
  return block_stats(daemon.graph, arguments.value("query-nodes", false));
}

// The argument `name`, or else `otherwise`.
absl::StatusOr<Boundaries> boundaries_of(const nlohmann::json& arguments, const std::string& name,
                                         const Boundaries& otherwise) {
  const auto found = arguments.find(name);
  if (found == arguments.end()) return otherwise;
  std::vector<uint64_t> boundaries;
  for (const nlohmann::json& boundary : *found) {
    if (!boundary.is_number_unsigned() &&
        !(boundary.is_number_integer() && boundary.get<int64_t>() >= 0)) {
      return errno_message(EINVAL, "Parameter '" + name +
                                       "' expects a list of rising numbers of nanoseconds, such as "
                                       "[10000, 100000, 1000000]");
    }
    boundaries.push_back(boundary.get<uint64_t>());
  }
  return boundaries;
}

absl::StatusOr<nlohmann::json> co_set_histogram(Daemon& daemon, const nlohmann::json& arguments)
    CONTROL_COROUTINE_CODE;
absl::StatusOr<nlohmann::json> co_set_histogram(Daemon& daemon, const nlohmann::json& arguments) {
  const absl::StatusOr<Boundaries> all = boundaries_of(arguments, "boundaries", std::nullopt);
  if (!all.ok()) return all.status();
  HistogramBoundaries wanted;
  const std::pair<const char*, Boundaries*> kinds[] = {{"boundaries-read", &wanted.read},
                                                       {"boundaries-write", &wanted.write},
                                                       {"boundaries-flush", &wanted.flush}};
  for (const auto& [name, of_kind] : kinds) {
    absl::StatusOr<Boundaries> boundaries = boundaries_of(arguments, name, *all);
    if (!boundaries.ok()) return boundaries.status();
    *of_kind = std::move(*boundaries);
  }
  const std::string id = arguments.at("id").get<std::string>();
  absl::Status status = co_set_latency_histograms(daemon.graph, id, wanted);
  if (status_errno(status) == ENOENT) {
    return qmp_error(ENOENT, "DeviceNotFound", status_text(status));
  }
  if (!status.ok()) return status;
  return nlohmann::json::object();
}

constexpr QmpArgument kQueryArguments[] = {
    {"query-nodes", QmpType::kBool, false, "one entry a node in place of one a device"},
};
constexpr QmpArgument kHistogramArguments[] = {
    {"id", QmpType::kString, true, "a device as query-blockstats names it, or a node"},
    {"boundaries", QmpType::kArray, false, "rising nanoseconds, for all kinds"},
    {"boundaries-read", QmpType::kArray, false, "for reads, in place of the common ones"},
    {"boundaries-write", QmpType::kArray, false, "for writes, in place of the common ones"},
    {"boundaries-flush", QmpType::kArray, false, "for flushes, in place of the common ones"},
};

const QmpCommand kCommands[] = {
    {.name = "block-latency-histogram-set",
     .help = "Counts requests by how long they took, from now on; without boundaries no more.",
     .arguments = kHistogramArguments,
     .co_run = &co_set_histogram},
    {.name = "query-blockstats",
     .help = "What the requests of each device did: operations, bytes, failures, time.",
     .arguments = kQueryArguments,
     .co_run = &co_query_blockstats},
};

}  // namespace

std::span<const QmpCommand> stats_commands() { return kCommands; }

}  // namespace penstock
